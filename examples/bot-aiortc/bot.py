#!/usr/bin/env python3
"""Joins a room of a turnhub server as one more person: plays a file, or a test picture and a tone, to everybody there, and
can write what it receives to files. It is written from signaling/protocol.md alone. Debian: python3-aiortc, python3-aiohttp."""
import argparse
import asyncio
import logging
import os
import re
import time

import aiohttp
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.codecs import HEADER_EXTENSIONS
from aiortc.contrib.media import MediaBlackhole, MediaPlayer, MediaRecorder, MediaRelay
from aiortc.sdp import candidate_from_sdp

log = logging.getLogger("bot")
FATAL = (4000, 4001, 4003, 4004, 4007, 4009)  # the close codes of protocol.md that say: do not come back

# aiortc 1.4 gives two extensions the same number in its offers, one for sound and one for pictures: Chromium refuses that.
HEADER_EXTENSIONS["video"][1].id = 3


def ufrag(sdp):
    """Another one in a later offer is a restart of ICE, which aiortc does not know."""
    return re.search(r"^a=ice-ufrag:(\S+)", sdp, re.M)[1]


class Bot:
    def __init__(self, options):
        self.options = options
        self.peers = {}  # connections by session and name
        self.resume, self.config, self.socket = None, {}, None
        if options.play:
            player = MediaPlayer(options.play, loop=True)
            self.sources = [player.video, player.audio]
        else:
            self.sources = [MediaPlayer("testsrc2=size=320x240:rate=15", format="lavfi").video,
                            MediaPlayer("sine=frequency=440:sample_rate=48000", format="lavfi").audio]
        self.relay = MediaRelay()

    async def run(self):
        """One socket, from hello to its end; returns its close code."""
        headers = {"Authorization": f"Bearer {self.options.token}"} if self.options.token else {}
        async with aiohttp.ClientSession() as http, http.ws_connect(
                self.options.server.rstrip("/") + "/ws", protocols=["turnhub.v1"], headers=headers) as self.socket:
            await self.send(type="hello", name=self.options.name, **({"resume": self.resume} if self.resume else {}))
            patience, heard, due = 10, time.monotonic(), 0
            while True:
                try:
                    frame = await self.socket.receive(timeout=1)
                    if frame.type != aiohttp.WSMsgType.TEXT:
                        return self.socket.close_code
                    message, heard = frame.json(), time.monotonic()
                    if message["type"] == "welcome":
                        patience = (message["heartbeat"]["call"] + message["heartbeat"]["timeout"]) / 1000
                    await self.handle(message)
                except asyncio.TimeoutError:
                    pass
                if time.monotonic() - heard > patience:
                    return None  # a dead path says nothing
                if self.resume and time.monotonic() >= due:  # as often as heartbeat.call says; it acknowledges, too
                    due = time.monotonic() + 1
                    await self.send(type="ping", ack=self.resume["seq"])

    async def send(self, **message):
        await self.socket.send_json(message)

    async def signal(self, to, **data):
        await self.send(type="signal", to=to, data=data)

    async def handle(self, message):
        kind, seq = message["type"], message.get("seq", 0)
        if seq:
            if seq <= self.resume["seq"]:
                return  # handled before the socket was lost
            self.resume["seq"] = seq
        self.config = message.get("config", self.config)
        if kind == "welcome" and not message["resumed"]:
            # The server has forgotten us, and everybody else: who is there is told anew.
            self.resume = {"session": message["session"], "token": message["resume"]["token"], "seq": 0}
            for key in list(self.peers):
                await self.drop(key)
            await self.send(type="join", room=self.options.room)
            log.info("in session %s", message["session"])
        elif kind == "joined":
            for other in message["peers"]:  # the newcomer offers to each
                await self.offer(other["peer"])
        elif kind == "peer-joined" and message["polite"]:
            await self.offer(message["peer"])  # we are the newcomer: two nodes had a part of the room each
        elif kind == "peer-joined":
            await self.signaled(message["peer"], message.get("first") or {})
        elif kind == "signal":
            await self.signaled(message["from"], message["data"])
        elif kind == "peer-left":
            for key in [key for key in self.peers if key[0] == message["peer"]]:
                await self.drop(key)
        elif kind == "error":
            log.error("%s: %s", message["code"], message["message"])

    async def signaled(self, session, data):
        """Signaling data of another client (protocol.md, "Signaling data")."""
        key = (session, data.get("connection", ""))
        description = data.get("description")
        if data.get("rejoin"):  # somebody is back with a new session; we remember nobody, so let them offer
            return await self.signal(session, rejoined=None)
        if data.get("anew") or data.get("rejoined", "") is None:
            return await self.offer(session)
        if description and description["type"] == "offer":
            pc = self.peers.get(key) or self.connect(key)
            known = pc.remoteDescription
            if known and ufrag(known.sdp) != ufrag(description["sdp"]):
                return await self.signal(session, connection=key[1], refused=data.get("round"))
            await pc.setRemoteDescription(RTCSessionDescription(**description))
            await pc.setLocalDescription(await pc.createAnswer())
            await self.describe(key, data.get("round"))
        elif description and key in self.peers:
            await self.peers[key].setRemoteDescription(RTCSessionDescription(**description))
        for candidate in data.get("candidates") or [data[name] for name in ("candidate",) if data.get(name)]:
            if key in self.peers and candidate["candidate"]:
                found = candidate_from_sdp(candidate["candidate"].split(":", 1)[1])
                found.sdpMid, found.sdpMLineIndex = candidate.get("sdpMid"), candidate.get("sdpMLineIndex")
                await self.peers[key].addIceCandidate(found)

    async def describe(self, key, number):
        """aiortc's descriptions have all its candidates in them."""
        local = self.peers[key].localDescription
        sdp = local.sdp
        if self.options.relay:  # aiortc knows no policy: the other addresses are not told
            sdp = re.sub(r"^a=candidate:(?!.* typ relay).*\r\n", "", sdp, flags=re.M)
        await self.signal(key[0], connection=key[1], round=number, description={"type": local.type, "sdp": sdp})

    def connect(self, key):
        """A connection with a session, with our picture and sound."""
        servers = []
        for server in self.config["iceServers"]:  # aioice takes one TURN server: the first URL is the best
            servers += [RTCIceServer(urls=server["urls"], username=server.get("username"), credential=server.get("credential"))]
        pc = self.peers[key] = RTCPeerConnection(RTCConfiguration(servers))
        for source in self.sources:
            pc.addTrack(self.relay.subscribe(source))
        pc.sink = MediaBlackhole()
        if self.options.record:
            pc.sink = MediaRecorder(os.path.join(self.options.record, f"{key[0]}-{time.time():.3f}.mp4"))
        pc.on("track", pc.sink.addTrack)

        @pc.on("connectionstatechange")
        async def changed():
            log.info("%s: %s", key[0], pc.connectionState)
            if pc.connectionState == "connected":
                await pc.sink.start()
            elif pc.connectionState == "failed" and self.peers.get(key) is pc:
                await self.drop(key)
        return pc

    async def offer(self, session):
        key = (session, "")
        await self.drop(key)
        pc = self.connect(key)
        await pc.setLocalDescription(await pc.createOffer())
        await self.describe(key, 1)

    async def drop(self, key):
        pc = self.peers.pop(key, None)
        if pc:
            await pc.sink.stop()
            await pc.close()


async def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="http://localhost:8080", help="base URL of the server")
    parser.add_argument("--room", required=True, help="name of the room to join")
    parser.add_argument("--name", default="aiortc bot", help="what others see")
    parser.add_argument("--token", default="", help="access token, where the server wants one")
    parser.add_argument("--play", default="", help="file to play; default: a test picture and a tone")
    parser.add_argument("--record", default="", help="write what comes into this folder, as MP4")
    parser.add_argument("--relay", action="store_true", help="tell others the relay's address only")
    bot = Bot(parser.parse_args())
    try:
        while True:
            code = None
            try:
                code = await bot.run()
            except (aiohttp.ClientError, OSError) as error:
                log.warning("%s", error)
            if code in FATAL:
                raise SystemExit(f"ended by the server: {code}")
            await asyncio.sleep(1)
    finally:
        for key in list(bot.peers):
            await bot.drop(key)


if __name__ == "__main__":
    logging.basicConfig()
    log.setLevel(logging.INFO)
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
