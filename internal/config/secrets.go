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
	"path/filepath"
	"strings"
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
	contents, err := os.ReadFile(path)
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

// createSecret writes a fresh secret of 256 bits. Two processes that start at
// once end up with the same one: the file appears whole or not at all.
func createSecret(path string) ([]byte, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	var random [32]byte
	rand.Read(random[:])
	contents := []byte(hex.EncodeToString(random[:]) + "\n")
	f, err := os.CreateTemp(filepath.Dir(path), ".turn-secrets-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(contents)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return os.ReadFile(path)
	} else if err != nil {
		return nil, err
	}
	return contents, nil
}
