import { execFile } from 'node:child_process';
import fs from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * A test certificate authority and a server certificate signed by it.
 * @param {string} dir where the files go
 * @param {string[]} names DNS names and IP addresses of the server
 * @returns {Promise<{caFile: string, certFile: string, keyFile: string}>}
 */
export async function makeCertificates(dir, names) {
  const file = (/** @type {string} */ name) => path.join(dir, name);
  const openssl = (/** @type {string[]} */ ...args) => run('openssl', args, { cwd: dir });
  await fs.mkdir(dir, { recursive: true });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await openssl('req', '-x509', ...newKey, '-days', '30', '-subj', '/CN=turnhub test CA', '-keyout', 'ca.key', '-out', 'ca.pem',
    '-addext', 'keyUsage=critical,keyCertSign');
  await openssl('req', ...newKey, '-subj', `/CN=${names[0]}`, '-keyout', 'key.pem', '-out', 'server.csr');
  const san = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(',');
  await fs.writeFile(file('extensions'), `subjectAltName=${san}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n`);
  await openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '20',
    '-extfile', 'extensions', '-out', 'cert.pem');
  return { caFile: file('ca.pem'), certFile: file('cert.pem'), keyFile: file('key.pem') };
}

/**
 * Makes a certificate database as browsers keep it, which trusts more authorities, as an administrator of real machines
 * would: Chromium's is `.pki/nssdb` in its home, Firefox's lies in its profile.
 * @param {string} database folder to make
 * @param {string[]} caFiles
 */
export async function makeDatabase(database, caFiles) {
  await fs.mkdir(database, { recursive: true });
  await run('certutil', ['-N', '-d', `sql:${database}`, '--empty-password']);
  for (const [index, caFile] of caFiles.entries()) {
    // It asks for a password, and waits for ever, where the database has gone meanwhile: as when another part of a test has failed.
    await run('certutil', ['-A', '-d', `sql:${database}`, '-n', `turnhub test CA ${index}`, '-t', 'C,,', '-i', caFile], { timeout: 60_000 });
  }
}
