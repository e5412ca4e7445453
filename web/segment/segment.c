// What the model of web/static/vendor/selfie is made of, for web/static/segment.js: layers on pictures of floats, with the
// channels of a point beside each other, and what becomes of a camera's picture by the mask that comes out. It imports
// nothing; the caller gives out the memory from `__heap_base` on. Channels are a multiple of 4 wherever there are
// several; every place is a multiple of 16 bytes.

typedef float four __attribute__((vector_size(16), aligned(16)));
typedef unsigned char byte;

#define EXPORT(name) __attribute__((export_name(#name))) name

static four splat(float x) { return (four){x, x, x, x}; }
static float least(float a, float b) { return a < b ? a : b; }
static float most(float a, float b) { return a > b ? a : b; }

// e^x for |x| below 80: 2 to the whole part, times a polynomial for the rest.
static float power(float x) {
  x = most(-80, least(80, x)) * 1.44269504f;
  int whole = (int)(x < 0 ? x - 1 : x);
  float rest = (x - whole) * 0.69314718f;
  union { int i; float f; } scale = {(whole + 127) << 23};
  return scale.f * (1 + rest * (1 + rest * (0.5f + rest * (0.166666667f + rest * (0.0416666667f + rest * (0.00833333333f + rest * 0.00138888889f))))));
}

// Every point by itself: weights as [from][to], so that neighbours in memory are summed side by side.
void EXPORT(points)(const float *in, const float *weights, const float *bias, float *out, int count, int from, int to) {
  for (int p = 0; p < count; p += 4) {
    int here = count - p < 4 ? count - p : 4;
    const float *a = in + p * from, *b = here > 1 ? a + from : a, *c = here > 2 ? b + from : a, *d = here > 3 ? c + from : a;
    for (int o = 0; o < to; o += 4) {
      four w = *(const four *)(bias + o), x = w, y = w, z = w, v = w;
      const float *row = weights + o;
      for (int i = 0; i < from; i++, row += to) {
        w = *(const four *)row;
        x += splat(a[i]) * w;
        y += splat(b[i]) * w;
        z += splat(c[i]) * w;
        v += splat(d[i]) * w;
      }
      float *to_here = out + p * to + o;
      *(four *)to_here = x;
      if (here > 1) *(four *)(to_here + to) = y;
      if (here > 2) *(four *)(to_here + 2 * to) = z;
      if (here > 3) *(four *)(to_here + 3 * to) = v;
    }
  }
}

// What stands before the first point, where the edges are filled up evenly.
static int before(int in, int out, int size, int step) {
  int missing = (out - 1) * step + size - in;
  return missing > 0 ? missing / 2 : 0;
}

// The neighbourhood of every point beside it, for `points` to go on with.
void EXPORT(gather)(const float *in, float *out, int height, int width, int channels, int size, int step) {
  int rows = (height + step - 1) / step, columns = (width + step - 1) / step;
  int top = before(height, rows, size, step), left = before(width, columns, size, step);
  for (int y = 0; y < rows; y++) for (int x = 0; x < columns; x++) {
    for (int j = 0; j < size; j++) for (int i = 0; i < size; i++) {
      int row = y * step + j - top, column = x * step + i - left, inside = row >= 0 && row < height && column >= 0 && column < width;
      for (int c = 0; c < channels; c++) *out++ = inside ? in[(row * width + column) * channels + c] : 0;
    }
  }
}

// Every channel by itself, over a neighbourhood.
void EXPORT(depthwise)(const float *in, const float *weights, const float *bias, float *out, int height, int width, int channels, int size, int step) {
  int rows = (height + step - 1) / step, columns = (width + step - 1) / step;
  int top = before(height, rows, size, step), left = before(width, columns, size, step);
  for (int y = 0; y < rows; y++) for (int x = 0; x < columns; x++, out += channels) {
    int j0 = most(0, top - y * step), j1 = least(size, height + top - y * step);
    int i0 = most(0, left - x * step), i1 = least(size, width + left - x * step);
    for (int c = 0; c < channels; c += 4) {
      four sum = *(const four *)(bias + c);
      for (int j = j0; j < j1; j++) {
        const float *row = in + ((y * step + j - top) * width + x * step - left) * channels + c, *weight = weights + j * size * channels + c;
        for (int i = i0; i < i1; i++) sum += *(const four *)(row + i * channels) * *(const four *)(weight + i * channels);
      }
      *(four *)(out + c) = sum;
    }
  }
}

void EXPORT(mean)(const float *in, float *out, int count, int channels) {
  for (int c = 0; c < channels; c += 4) {
    four sum = splat(0);
    for (int p = 0; p < count; p++) sum += *(const four *)(in + p * channels + c);
    *(four *)(out + c) = sum * splat(1.0f / count);
  }
}

void EXPORT(add)(const float *a, const float *b, float *out, int length) {
  for (int i = 0; i < length; i += 4) *(four *)(out + i) = *(const four *)(a + i) + *(const four *)(b + i);
}

void EXPORT(scale)(const float *in, const float *by, float *out, int count, int channels) {
  for (int p = 0; p < count; p++) for (int c = 0; c < channels; c += 4) {
    *(four *)(out + p * channels + c) = *(const four *)(in + p * channels + c) * *(const four *)(by + c);
  }
}

void EXPORT(relu)(const float *in, float *out, int length) {
  for (int i = 0; i < length; i++) out[i] = most(0, in[i]);
}

void EXPORT(hardswish)(const float *in, float *out, int length) {
  for (int i = 0; i < length; i++) out[i] = in[i] * most(0, least(6, in[i] + 3)) * (1 / 6.0f);
}

void EXPORT(logistic)(const float *in, float *out, int length) {
  for (int i = 0; i < length; i++) out[i] = 1 / (1 + power(-in[i]));
}

// Larger, between the centres of the points.
void EXPORT(resize)(const float *in, float *out, int height, int width, int channels, int rows, int columns) {
  for (int y = 0; y < rows; y++) {
    float at = most(0, (y + 0.5f) * height / rows - 0.5f);
    int y0 = (int)at, y1 = y0 + 1 < height ? y0 + 1 : y0;
    float down = at - y0;
    for (int x = 0; x < columns; x++, out += channels) {
      at = most(0, (x + 0.5f) * width / columns - 0.5f);
      int x0 = (int)at, x1 = x0 + 1 < width ? x0 + 1 : x0;
      float right = at - x0;
      const float *a = in + (y0 * width + x0) * channels, *b = in + (y0 * width + x1) * channels;
      const float *c = in + (y1 * width + x0) * channels, *d = in + (y1 * width + x1) * channels;
      four wa = splat((1 - down) * (1 - right)), wb = splat((1 - down) * right), wc = splat(down * (1 - right)), wd = splat(down * right);
      for (int i = 0; i < channels; i += 4) {
        *(four *)(out + i) = *(const four *)(a + i) * wa + *(const four *)(b + i) * wb + *(const four *)(c + i) * wc + *(const four *)(d + i) * wd;
      }
    }
  }
}

// Twice as large, to one channel: every point becomes two by two.
void EXPORT(grow)(const float *in, const float *weights, const float *bias, float *out, int height, int width, int channels) {
  for (int y = 0; y < height; y++) for (int x = 0; x < width; x++, in += channels) {
    for (int k = 0; k < 4; k++) {
      four sum = splat(0);
      for (int c = 0; c < channels; c += 4) sum += *(const four *)(in + c) * *(const four *)(weights + k * channels + c);
      out[(2 * y + k / 2) * 2 * width + 2 * x + k % 2] = bias[0] + sum[0] + sum[1] + sum[2] + sum[3];
    }
  }
}

// ---- a camera's picture

// From the browser's bytes to red, green, blue of 0 to 1.
void EXPORT(take)(const byte *rgba, float *out, int count) {
  for (int p = 0; p < count; p++) for (int c = 0; c < 3; c++) out[3 * p + c] = rgba[4 * p + c] * (1 / 255.0f);
}

// What was seen before counts a little, so that edges do not flicker, and what is nearly sure is taken for sure.
void EXPORT(settle)(const float *mask, float *settled, byte *rgba, int count) {
  for (int p = 0; p < count; p++) {
    float now = settled[p] += (mask[p] - settled[p]) * 0.6f;
    now = most(0, least(1, (now - 0.3f) * 2.5f));
    rgba[4 * p] = rgba[4 * p + 1] = rgba[4 * p + 2] = 255;
    rgba[4 * p + 3] = (byte)(now * now * (3 - 2 * now) * 255 + 0.5f);
  }
}

// One row or column, by a window of 2 × radius + 1 points; the window is narrower at the edges. `work` has room for it.
static void smear(four *at, int length, int stride, int radius, four *work) {
  four sum = splat(0);
  for (int i = 0; i < length; i++) work[i] = at[i * stride];
  for (int i = 0; i < radius && i < length; i++) sum += work[i];
  for (int i = 0; i < length; i++) {
    if (i + radius < length) sum += work[i + radius];
    if (i > radius) sum -= work[i - radius - 1];
    at[i * stride] = sum;
  }
}

// The background, blurred: of the points of a picture each counts as far as it is background, or the person would shine
// into what is around. Only the box counts; what is outside is no picture. `points` has room for four floats a point,
// `work` for a row.
void EXPORT(blur)(const byte *rgba, const byte *person, byte *out, four *points, four *work, int height, int width, int left, int top, int right, int bottom, int radius) {
  for (int y = 0; y < height; y++) for (int x = 0; x < width; x++) {
    int p = y * width + x, inside = x >= left && x < right && y >= top && y < bottom;
    float weight = inside ? 0.004f + (255 - person[4 * p + 3]) * (1 / 255.0f) : 0;
    points[p] = (four){rgba[4 * p], rgba[4 * p + 1], rgba[4 * p + 2], 1} * splat(weight);
  }
  for (int times = 0; times < 2; times++) {
    for (int y = 0; y < height; y++) smear(points + y * width, width, 1, radius, work);
    for (int x = 0; x < width; x++) smear(points + x, height, width, radius, work);
    for (int p = 0; p < height * width; p++) points[p] *= splat(1.0f / ((2 * radius + 1) * (2 * radius + 1)));
  }
  for (int p = 0; p < height * width; p++) {
    float weight = most(1e-6f, points[p][3]);
    for (int c = 0; c < 3; c++) out[4 * p + c] = (byte)most(0, least(255, points[p][c] / weight + 0.5f));
    out[4 * p + 3] = 255;
  }
}
