/**
 * So long are packets of sound on a narrow line, milliseconds, of browsers that make them no longer by themselves (`adaptivePtime`): at 20 ms what
 * is around them takes more than twice what is in them.
 */
export const longPacket = 60;

const said = `a=ptime:${longPacket}`;

/**
 * A description of the other side as our browser is to hear it: with packets of sound of that length (RFC 8866, 6.4), or no longer so. Whoever says
 * a length of his own keeps it.
 * @param {{type: RTCSdpType, sdp?: string}} description of a browser too, whose members are no own ones @param {boolean} long
 */
export function inPackets({type, sdp = ''}, long) {
  const sections = sdp.split(/^(?=m=)/m).map((section) => {
    if (!section.startsWith('m=audio ')) return section;
    const theirs = section.replace(new RegExp(`^${said}\\r?\\n`, 'm'), ''), [end = '\r\n'] = /\r?\n$/.exec(theirs) ?? [];
    return long && !/^a=ptime:/m.test(theirs) ? `${theirs}${said}${end}` : theirs;
  });
  return {type, sdp: sections.join('')};
}
