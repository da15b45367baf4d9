'use strict';
// Heat of a weight between 0 and 1: violet, orange, yellow; the weak ones clear.
const STOPS = [[70, 10, 130], [190, 40, 120], [245, 125, 50], [255, 235, 90]];

function heat(weight) {
  const at = Math.min(Math.max(weight, 0), 1) * (STOPS.length - 1);
  const i = Math.min(Math.floor(at), STOPS.length - 2);
  const mix = STOPS[i].map((c, k) => c + (at - i) * (STOPS[i + 1][k] - c));
  return [...mix, 190 * Math.min(1, Math.max(0, 1.25 * weight))];
}

// Catmull-Rom weights of the four neighbours at a fraction t between two.
function cubic(t) {
  return [
    ((2 - t) * t - 1) * t, (3 * t - 5) * t * t + 2,
    ((4 - 3 * t) * t + 1) * t, (t - 1) * t * t,
  ].map((w) => w / 2);
}

// A patch grid drawn smoothly over its film: patch centres keep their weights.
// Colour begins at the weight `even` and is full at `full`.
function draw(canvas, grid, rows, columns, even, full) {
  const size = 96, context = canvas.getContext('2d');
  canvas.width = canvas.height = size;
  const picture = context.createImageData(size, size);
  const near = (i, n) => Math.min(Math.max(i, 0), n - 1);
  for (let p = 0; p < size * size; p++) {
    const y = (Math.floor(p / size) + .5) * rows / size - .5;
    const x = (p % size + .5) * columns / size - .5;
    const down = cubic(y - Math.floor(y)), across = cubic(x - Math.floor(x));
    let sum = 0;
    for (let q = 0; q < 16; q++) {
      const row = near(Math.floor(y) + (q >> 2) - 1, rows);
      const column = near(Math.floor(x) + q % 4 - 1, columns);
      sum += down[q >> 2] * across[q % 4] * grid[row * columns + column];
    }
    picture.data.set(heat((sum - even) / (full - even)), 4 * p);
  }
  context.putImageData(picture, 0, 0);
}

function open(study) {
  const words = [...study.querySelectorAll('button')];
  if (!words.length) return;
  const canvases = [...study.querySelectorAll('canvas')];
  const caption = study.querySelector('.caption');
  const [rows, columns] = study.dataset.grid.split(',').map(Number);
  const bytes = Uint8Array.from(
    atob(study.dataset.attention), (c) => c.charCodeAt(0));
  const patches = rows * columns, all = patches * canvases.length;
  let pinned = study.querySelector('[aria-pressed=true]') || words[0];

  function show(word) {
    const from = words.indexOf(word) * all;
    const weights = bytes.subarray(from, from + all);
    const sum = (list) => list.reduce((a, b) => a + b, 0);
    const total = sum(weights) || 1, even = total / all;
    const peak = Math.max(...weights), full = Math.max(peak, 3 * even);
    const shares = canvases.map((canvas, film) => {
      const grid = weights.subarray(film * patches, (film + 1) * patches);
      draw(canvas, grid, rows, columns, even, full);
      return 'film ' + (film + 1) + ' ' +
        Math.round(100 * sum(grid) / total) + ' %';
    });
    const name = document.createElement('b');
    name.textContent = word.textContent;
    caption.replaceChildren('Attention of “', name, '”: ' + shares.join(', ') +
      '; its peak is ' + (peak / even).toFixed(1) + ' times an even spread.');
    for (const other of words) {
      other.setAttribute('aria-pressed', other === word);
      other.tabIndex = other === word ? 0 : -1;
    }
  }

  words.forEach((word, i) => {
    word.addEventListener('mouseenter', () => show(word));
    word.addEventListener('focus', () => show(pinned = word));
    word.addEventListener('click', () => show(pinned = word));
    word.addEventListener('keydown', (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (!step || !words[i + step]) return;
      words[i + step].focus();
      event.preventDefault();
    });
  });
  study.querySelector('.generated').addEventListener(
    'mouseleave', () => show(pinned));
  show(pinned);
}

document.querySelectorAll('.study').forEach(open);
