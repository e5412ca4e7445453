// What the page asks of libopus: one voice each way, mono at 48 kHz, and nothing that a hostile packet could make larger.
#include <opus.h>
#include <stdlib.h>

enum { rate = 48000, most_samples = rate * 120 / 1000, most_bytes = 1500 };

// Samples and packets pass through these.
static float samples[most_samples];
static unsigned char packet[most_bytes];

float *samples_at(void) { return samples; }
unsigned char *packet_at(void) { return packet; }
int packet_most(void) { return most_bytes; }

// An assertion of libopus that does not hold ends the instance, and with it nothing else.
_Noreturn void celt_fatal(const char *text, const char *file, int line) {
  (void)text, (void)file, (void)line;
  __builtin_trap();
}

// 0: there is no memory.
OpusEncoder *encoder(int bitrate) {
  int error;
  OpusEncoder *voice = opus_encoder_create(rate, 1, OPUS_APPLICATION_VOIP, &error);
  if (error != OPUS_OK) return 0;
  opus_encoder_ctl(voice, OPUS_SET_BITRATE(bitrate));
  opus_encoder_ctl(voice, OPUS_SET_SIGNAL(OPUS_SIGNAL_VOICE));
  opus_encoder_ctl(voice, OPUS_SET_COMPLEXITY(3));
  return voice;
}

OpusDecoder *decoder(void) {
  int error;
  OpusDecoder *voice = opus_decoder_create(rate, 1, &error);
  return error == OPUS_OK ? voice : 0;
}

// Bytes of the packet; below 0: an error of libopus.
int encode(OpusEncoder *voice, int count) {
  if (count < 0 || count > most_samples) return OPUS_BAD_ARG;
  return opus_encode_float(voice, samples, count, packet, most_bytes);
}

// Samples that came of it, each from -1 to 1 whatever came; below 0: an error of libopus.
int decode(OpusDecoder *voice, int bytes) {
  if (bytes <= 0 || bytes > most_bytes) return OPUS_BAD_ARG;
  int count = opus_decode_float(voice, packet, bytes, samples, most_samples, 0);
  for (int i = 0; i < count; i++) {
    float sample = samples[i];
    samples[i] = sample != sample ? 0 : sample > 1 ? 1 : sample < -1 ? -1 : sample;
  }
  return count;
}
