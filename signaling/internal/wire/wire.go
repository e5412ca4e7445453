// Package wire is turnhub.v1 as it stands on the wire (signaling/protocol.md):
// client messages taken apart, server messages put together, error codes and close
// codes. It knows neither sockets nor rooms, and both floors of the hub speak it.
//
// It is written by hand because the hub spends most of its own time here: reading a
// message and writing one leave no garbage. FuzzScan holds the reader to
// encoding/json.
package wire
