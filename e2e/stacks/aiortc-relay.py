"""Two aiortc connections with each other through the relay alone: 20 messages there and back. argv: two ICE servers as JSON."""
import asyncio
import json
import re
import sys

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription


def relayed(description):
    """aiortc knows no policy: only relayed candidates are told."""
    return RTCSessionDescription(sdp=re.sub(r"^a=candidate:(?!.* typ relay).*\r\n", "", description.sdp, flags=re.M), type=description.type)


async def main():
    a, b = (RTCPeerConnection(RTCConfiguration([RTCIceServer(**server)])) for server in json.loads(sys.argv[1]))
    back, done = [], asyncio.Event()
    channel = a.createDataChannel("relay")
    b.on("datachannel", lambda echo: echo.on("message", echo.send))
    channel.on("open", lambda: [channel.send(str(i)) for i in range(20)])

    @channel.on("message")
    def message(text):
        back.append(text)
        if len(back) == 20:
            done.set()
    await a.setLocalDescription(await a.createOffer())
    await b.setRemoteDescription(relayed(a.localDescription))
    await b.setLocalDescription(await b.createAnswer())
    await a.setRemoteDescription(relayed(b.localDescription))
    await asyncio.wait_for(done.wait(), 40)
    # Whatever else was found on one machine, the addresses in use are the relay's.
    for pc in (a, b):
        pair = pc.sctp.transport.transport._connection._nominated[1]
        print(pair.local_candidate.type, pair.remote_candidate.type)
    print(f"{len(back)} of 20")
    await asyncio.gather(a.close(), b.close())

asyncio.run(main())
