package config

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"turnhub/internal/statefile"
)

// Secrets returns the TURN secrets, the signing one first: those of
// credentials.secrets, then those of the file. When there are none and the file
// is the default one, create makes it with one random secret, mode 0600.
// Warnings tell what is unsafe about the file.
func (c *Config) Secrets(create bool) (secrets []string, warnings []Warning, err error) {
	secrets = append(secrets, c.Credentials.Secrets...)
	path := c.SecretsPath()
	if c.Credentials.SecretsFile == "" && len(secrets) > 0 {
		return secrets, nil, nil
	}
	read := os.ReadFile // of whatever the operator names, a pipe too
	own := c.Credentials.SecretsFile == ""
	if own {
		read = statefile.Read
	}
	contents, err := read(path)
	if errors.Is(err, fs.ErrNotExist) && c.Credentials.SecretsFile == "" {
		if !create {
			return nil, nil, fmt.Errorf("there is no TURN secret yet at %s; run `turnhub serve` once, or give credentials.secrets", path)
		}
		contents, err = createSecret(path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read the TURN secrets: %w; make credentials.secrets_file readable for this user, or set state_dir to a directory it may write to", err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
		warnings = append(warnings, Warning{fmt.Sprintf("%s is open to every user of this host (mode %04o)", path, info.Mode().Perm()), "run: chmod o= " + path})
	}
	if problem, remedy := statefile.Foreign(path); problem != "" {
		warnings = append(warnings, Warning{problem, remedy})
	}
	if own {
		if err := damaged(path, contents); err != nil {
			return nil, nil, err
		}
		if !bytes.HasSuffix(contents, []byte("\n")) && len(contents) > 0 {
			warnings = append(warnings, Warning{path + " does not end with the end of a line: if it was cut, its last secret is wrong", "compare it with a backup, or end its last line"})
		}
	}
	lines := bufio.NewScanner(bytes.NewReader(contents))
	for n := 1; lines.Scan(); n++ {
		secret := strings.TrimSpace(lines.Text())
		if secret == "" || strings.HasPrefix(secret, "#") {
			continue
		}
		if len(secret) < 8 {
			return nil, nil, fmt.Errorf("%s:%d: the secret is shorter than 8 characters; write a random one, as `openssl rand -hex 32` prints it", path, n)
		}
		secrets = append(secrets, secret)
	}
	if err := lines.Err(); err != nil {
		return nil, nil, fmt.Errorf("read the TURN secrets in %s: %w; write one secret per line", path, err)
	}
	if len(secrets) == 0 {
		return nil, nil, fmt.Errorf("%s holds no secret; write one per line, as `openssl rand -hex 32` prints it, or remove the file to have one made", path)
	}
	return secrets, warnings, nil
}

// damaged reports whether the file of secrets that the server keeps is not what this
// version writes. A secret taken from such a file would be none that anybody knows.
func damaged(path string, contents []byte) error {
	switch {
	case bytes.ContainsFunc(contents, func(r rune) bool { return r < ' ' && r != '\n' && r != '\r' && r != '\t' || r == 0xfffd }):
		return fmt.Errorf("%s is damaged: it holds bytes that are not text; restore it from a backup, or move it away to have a new secret made, which makes credentials that were given out invalid", path)
	case bytes.HasPrefix(bytes.TrimSpace(contents), []byte("{")):
		return fmt.Errorf("%s is in a format that this turnhub does not know, maybe a newer one's; install that version again, or move the file away to have a new secret made, which makes credentials that were given out invalid", path)
	}
	return nil
}

// createSecret writes a fresh secret of 256 bits. Two processes that start at
// once end up with the same one: the file appears whole or not at all.
func createSecret(path string) ([]byte, error) {
	var random [32]byte
	rand.Read(random[:])
	contents := []byte(hex.EncodeToString(random[:]) + "\n")
	switch err := statefile.Create(path, contents, 0o600); {
	case errors.Is(err, fs.ErrExist):
		return statefile.Read(path)
	case err != nil:
		return nil, err
	}
	return contents, nil
}
