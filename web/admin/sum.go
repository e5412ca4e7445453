package admin

import (
	"reflect"

	"turnhub/events"
	"turnhub/internal/portmux"
	"turnhub/push"
	"turnhub/signaling"
	"turnhub/signaling/media"
	"turnhub/turnsrv"
	"turnhub/web"
)

// Counts are the counters of one process, or of several together.
type Counts struct {
	Relay turnsrv.Stats
	Hub   signaling.Stats
	Ports portmux.Stats
	Web   web.Stats
	Media media.Stats

	Events events.Stats
	Push   push.Stats
}

// Add adds another process's. What is signed is a level, such as the number of
// allocations now, and what is unsigned only grows: by the types of their fields,
// which all Stats keep to.
func (c *Counts) Add(other *Counts) {
	add(reflect.ValueOf(c).Elem(), reflect.ValueOf(other).Elem(), true)
}

// AddPast adds those of a process that has ended: what it counted stays counted, its
// levels are gone.
func (c *Counts) AddPast(other *Counts) {
	add(reflect.ValueOf(c).Elem(), reflect.ValueOf(other).Elem(), false)
}

func add(to, from reflect.Value, levels bool) {
	switch to.Kind() {
	case reflect.Struct:
		for i := range to.NumField() {
			add(to.Field(i), from.Field(i), levels)
		}
	case reflect.Array:
		for i := range to.Len() {
			add(to.Index(i), from.Index(i), levels)
		}
	case reflect.Map:
		// A new map: the one that is there may be somebody else's.
		sum := reflect.MakeMap(to.Type())
		for i, m := range []reflect.Value{to, from} {
			for entries := m.MapRange(); entries.Next(); {
				value := reflect.New(to.Type().Elem()).Elem()
				if known := sum.MapIndex(entries.Key()); known.IsValid() {
					value.Set(known)
				}
				add(value, entries.Value(), levels || i == 0)
				sum.SetMapIndex(entries.Key(), value)
			}
		}
		to.Set(sum)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if levels {
			to.SetInt(to.Int() + from.Int())
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		to.SetUint(to.Uint() + from.Uint())
	}
}
