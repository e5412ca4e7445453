"""Two GStreamer webrtcbins with each other through the relay alone: 20 messages there and back. argv: two ICE servers as JSON."""
import json
import sys
from urllib.parse import quote

import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

Gst.init(None)
loop, back = GLib.MainLoop(), []
pipeline = Gst.Pipeline.new()


def make(server):
    bin = Gst.ElementFactory.make("webrtcbin")
    bin.set_property("bundle-policy", "max-bundle")
    bin.set_property("ice-transport-policy", "relay")
    scheme, rest = server["urls"].split(":", 1)
    # The user's name has a colon in it, and the password what URLs do not bear: both are escaped.
    url = f"{scheme}://{quote(server['username'], safe='')}:{quote(server['credential'], safe='')}@{rest}"
    if not bin.emit("add-turn-server", url):
        sys.exit(f"not taken: {url}")
    pipeline.add(bin)
    return bin


a, b = (make(server) for server in json.loads(sys.argv[1]))
a.connect("on-ice-candidate", lambda _, index, candidate: b.emit("add-ice-candidate", index, candidate))
b.connect("on-ice-candidate", lambda _, index, candidate: a.emit("add-ice-candidate", index, candidate))


def received(_, text):
    back.append(text)
    if len(back) == 20:
        loop.quit()


def described(promise, ours, theirs, kind):
    promise.wait()
    reply = promise.get_reply()
    # A copy: what the reply holds goes with it, whatever Python thinks.
    text = reply.get_value(kind).sdp.as_text()
    _, sdp = GstSdp.SDPMessage.new_from_text(text)
    _, copy = GstSdp.SDPMessage.new_from_text(text)
    type = GstWebRTC.WebRTCSDPType.OFFER if kind == "offer" else GstWebRTC.WebRTCSDPType.ANSWER
    ours.emit("set-local-description", GstWebRTC.WebRTCSessionDescription.new(type, sdp), Gst.Promise.new())
    theirs.emit("set-remote-description", GstWebRTC.WebRTCSessionDescription.new(type, copy), Gst.Promise.new())
    if kind == "offer":
        b.emit("create-answer", None, Gst.Promise.new_with_change_func(lambda p, *_: described(p, b, a, "answer")))


b.connect("on-data-channel", lambda _, channel: channel.connect("on-message-string", lambda c, text: c.emit("send-string", text)))
pipeline.set_state(Gst.State.PLAYING)
channel = a.emit("create-data-channel", "relay", None)
channel.connect("on-message-string", received)
channel.connect("on-open", lambda c: [c.emit("send-string", str(i)) for i in range(20)])
a.emit("create-offer", None, Gst.Promise.new_with_change_func(lambda p, *_: described(p, a, b, "offer")))
GLib.timeout_add_seconds(40, loop.quit)
loop.run()
print(f"{len(back)} of 20")
