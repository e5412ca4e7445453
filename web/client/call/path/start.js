/**
 * Bits per second with which a connection begins to send, before it knows anything of its path. Chromium takes 300,000, and
 * leaves out up to four pictures of more than 320×240 while there are fewer than that for them, and of more than 640×480 below
 * 500,000: the first picture came 130 ms later of a camera with 30 a second. What the path does not carry is seen within a second.
 */
export const startBitrate = 600_000;

const parameter = 'x-google-start-bitrate=';

/**
 * A description of the other side as our browser is to hear it: with the bitrate to begin with. Chromium and Safari know it by
 * their own parameter of a format, in kbit/s; others leave what they do not know.
 * @param {{type: RTCSdpType, sdp?: string}} description of a browser too, whose members are no own ones @param {number} [rate] bits per second
 */
export function startingFaster({type, sdp = ''}, rate = startBitrate) {
  const said = `${parameter}${Math.round(rate / 1000)}`;
  if (sdp.includes(parameter)) return {type, sdp};
  const sections = sdp.split(/^(?=m=)/m).map((section) => {
    if (!section.startsWith('m=video ')) return section;
    const formats = [...section.matchAll(/^a=rtpmap:(\d+) (?:VP8|VP9|AV1|H264|H265)\/90000/gim)].map(([, format]) => format);
    return formats.reduce((text, format) => {
      const parameters = new RegExp(`^a=fmtp:${format} [^\\r\\n]*`, 'm');
      if (parameters.test(text)) return text.replace(parameters, (line) => `${line};${said}`);
      return text.replace(new RegExp(`^a=rtpmap:${format} [^\\r\\n]*(\\r?\\n)`, 'm'), (line, end) => `${line}a=fmtp:${format} ${said}${end}`);
    }, section);
  });
  return {type, sdp: sections.join('')};
}

/**
 * One that our browser has heard, with another bitrate to begin with: Chromium begins anew with that.
 * @param {RTCSessionDescription} description @param {number} rate bits per second @returns {RTCSessionDescriptionInit}
 */
export const startingAnew = ({type, sdp}, rate) => startingFaster({type, sdp: sdp.replace(new RegExp(`${parameter}\\d+`, 'g'), `${parameter}${Math.round(rate / 1000)}`)}, rate);
