// The page's script: draws the document that stands in the page. It loads nothing.
//
// Every figure that it shows is an element with data-figure, and with the number as it stands in
// the document in data-value; a test compares them.

#include "report/page_parts.hpp"

namespace sluice::tool::report {

const std::string_view page_script = R"js(
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const main = document.getElementById('main');
const locations = ['host', ...data.devices.map((name, i) => 'device ' + i)];
const color = name => 'var(--l' + Math.max(locations.indexOf(name), 0) % 7 + ')';
const causes = [...new Set(data.flows.map(flow => flow.cause))];
const shade = cause => 1 - 0.75 * causes.indexOf(cause) / Math.max(causes.length, 2);

function make(tag, attributes = {}, ...children) {
  const space = ['svg', 'rect', 'text', 'line', 'path', 'title', 'g'].includes(tag) ? 'http://www.w3.org/2000/svg' : null;
  const node = space ? document.createElementNS(space, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function bytes(n) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < 4) { n /= 1024; ++i; }
  return (i === 0 ? n : n.toFixed(n < 10 ? 1 : 0)) + ' ' + units[i];
}
function time(us) {
  if (us === 0) return '0';
  if (us < 1000) return us.toFixed(us < 10 ? 1 : 0) + ' us';
  if (us < 1e6) return (us / 1e3).toFixed(us < 1e4 ? 1 : 0) + ' ms';
  return (us / 1e6).toFixed(us < 1e7 ? 2 : 1) + ' s';
}
const count = n => n.toLocaleString('en');
const figure = (name, value, text) => make('b', {'data-figure': name, 'data-value': value}, text);
const label = range => range.range ? range.range : '0x' + range.address.toString(16);
function panel(title, note) {
  const inside = make('div', {class: 'panel'});
  main.append(make('h2', {}, title));
  if (note) main.append(make('p', {class: 'note'}, note));
  main.append(inside);
  return inside;
}
function legend(entries) {
  return make('div', {class: 'legend'}, ...entries.map(([name, style]) =>
    make('span', {}, make('i', {style}), name)));
}
function cut(text, width) {
  const most = Math.max(Math.floor(width / 7), 3);
  return text.length <= most ? text : text.slice(0, most - 1) + '…';
}

function head() {
  main.append(make('h1', {}, data.program),
    make('p', {class: 'sub'}, 'Managed memory of process ' + data.process + ' in ' + time(data.duration_us) + ' · grade ' +
      data.grade + ' · ' + data.devices.join(', ') + ' · Sluice ' + data.sluice));
  const events = name => data.events[name] || 0;
  const cards = make('div', {class: 'cards'});
  const card = (name, value, text, what, warn) => cards.append(
    make('div', {class: warn ? 'card warn' : 'card'}, figure(name, value, text), make('span', {}, what)));
  card('bytes_moved', data.bytes_moved, bytes(data.bytes_moved), 'bytes moved');
  for (const [name, what] of [['CpuFault', 'host accesses answered'], ['Migration', 'migrations'],
      ['ReadDuplicate', 'read duplicates'], ['Launch', 'launches'], ['Eviction', 'evictions']])
    card('events.' + name, events(name), count(events(name)), what);
  const missed = data.overwritten_events + data.kernels_left_out;
  if (missed) card('missed', missed, count(missed), 'events that the trace lacks', true);
  main.append(cards);
}

function findings() {
  main.append(make('h2', {}, data.findings.length ? 'Worth changing' : 'Nothing to change'),
    make('p', {class: 'note'}, data.findings.length ? 'The costliest first, by the time that it took.' :
      'No bytes go back and forth, none are fetched for nothing, and nobody waits for many.'));
  data.findings.forEach((found, i) => {
    const places = make('dl', {class: 'places'});
    const place = (name, text) => { if (text) places.append(make('dt', {}, name), make('dd', {}, text)); };
    place('Host', found.host);
    place('Launch', found.launch);
    const cost = found.waited_us ? time(found.waited_us) + ' waited, ' + bytes(found.bytes) : bytes(found.bytes);
    main.append(make('article', {class: 'finding', 'data-kind': found.kind, 'data-range': found.range},
      make('h3', {}, make('span', {class: 'badge'}, found.kind), label(found),
        make('span', {class: 'cost', 'data-figure': 'findings.' + i + '.bytes', 'data-value': found.bytes}, cost)),
      make('p', {}, found.text), places, make('p', {class: 'advice'}, found.advice)));
  });
}

function axis(svg, left, width, y, until) {
  const most = Math.max(Math.floor(width / 90), 2);
  for (let i = 0; i <= most; ++i) {
    const x = left + width * i / most;
    svg.append(make('text', {x, y, class: 'soft', 'text-anchor': i === 0 ? 'start' : i === most ? 'end' : 'middle'},
      time(until * i / most)));
  }
}

function heat(width) {
  const narrow = width < 560;
  const left = narrow ? 0 : 190;
  const row = narrow ? 36 : 24;
  const plot = width - left;
  const until = data.bins * data.bin_us;
  const most = Math.max(...data.heat.flatMap(range => range.bins.map(bin => bin[2])), 1);
  const svg = make('svg', {width, height: data.heat.length * row + 24, role: 'img', 'aria-label': 'ranges by time and holder'});
  data.heat.forEach((range, y) => {
    const top = y * row + (narrow ? 16 : 2);
    const text = label(range) + ' · ' + bytes(range.size);
    svg.append(make('text', {x: 0, y: narrow ? y * row + 12 : top + 14}, make('title', {}, text), cut(text, narrow ? width : left - 12)));
    svg.append(make('rect', {x: left, y: top, width: plot, height: 18, rx: 3, fill: 'var(--empty)'}));
    range.bins.forEach(([bin, holder, moved], i) => {
      const next = i + 1 < range.bins.length ? range.bins[i + 1][0] : range.end;
      const x = left + plot * bin / data.bins;
      const cell = plot / data.bins;
      const about = text + '\n' + time(bin * data.bin_us) + ': held by ' + (holder || 'nobody') + (moved ? ', ' + bytes(moved) + ' moved' : '');
      if (holder && next > bin + 1)
        svg.append(make('rect', {x: x + cell, y: top, width: cell * (next - bin - 1), height: 18, fill: color(holder), opacity: 0.3}));
      if (holder)
        svg.append(make('rect', {x, y: top, width: Math.max(cell, 1), height: 18, fill: color(holder),
          opacity: moved ? 0.5 + 0.5 * Math.sqrt(moved / most) : 0.3}, make('title', {}, about)));
    });
  });
  axis(svg, left, plot, data.heat.length * row + 18, until);
  return svg;
}

function residency(width) {
  const left = 64, height = 150, plot = width - left - 4;
  const until = Math.max(data.residency.at(-1)[0], 1);
  const most = Math.max(...data.residency.flatMap(([at, held]) => Object.values(held)), 1);
  const svg = make('svg', {width, height: height + 24, role: 'img', 'aria-label': 'bytes resident at each location by time'});
  for (const part of [0, 0.5, 1]) {
    const y = 8 + (height - 8) * (1 - part);
    svg.append(make('line', {x1: left, x2: left + plot, y1: y, y2: y}),
      make('text', {x: left - 6, y: y + 4, class: 'soft', 'text-anchor': 'end'}, bytes(most * part)));
  }
  for (const name of locations) {
    let path = '';
    for (const [at, held] of data.residency) {
      const x = (left + plot * at / until).toFixed(1);
      const y = (8 + (height - 8) * (1 - (held[name] || 0) / most)).toFixed(1);
      path += path ? 'H' + x + 'V' + y : 'M' + x + ',' + y;
    }
    svg.append(make('path', {d: path + 'H' + (left + plot), fill: 'none', stroke: color(name), 'stroke-width': 2}));
  }
  axis(svg, left, plot, height + 20, until);
  return svg;
}

function flows(width) {
  const directions = [...new Set(data.flows.map(flow => flow.from + ' → ' + flow.to))];
  const total = name => data.flows.filter(f => f.from + ' → ' + f.to === name).reduce((sum, f) => sum + f.bytes, 0);
  const most = Math.max(...directions.map(total), 1);
  const left = 150, right = 76, plot = width - left - right;
  const svg = make('svg', {width, height: directions.length * 28, role: 'img', 'aria-label': 'bytes by direction and cause'});
  directions.forEach((name, y) => {
    let x = left;
    svg.append(make('text', {x: 0, y: y * 28 + 17}, name));
    data.flows.forEach((flow, i) => {
      if (flow.from + ' → ' + flow.to !== name) return;
      const length = plot * flow.bytes / most;
      svg.append(make('rect', {x, y: y * 28 + 3, width: Math.max(length, 1), height: 20, fill: color(flow.to), opacity: shade(flow.cause),
        'data-figure': 'flows.' + i + '.bytes', 'data-value': flow.bytes},
        make('title', {}, name + ' by ' + flow.cause + ': ' + bytes(flow.bytes) + ' in ' + count(flow.count) + ' copies')));
      x += length;
    });
    svg.append(make('text', {x: x + 6, y: y * 28 + 17, class: 'soft'}, bytes(total(name))));
  });
  return svg;
}

function flowTable() {
  const table = make('table', {}, make('tr', {}, ...['Direction', 'Cause', 'Copies', 'Bytes'].map(name => make('th', {}, name))));
  data.flows.forEach(flow => table.append(make('tr', {}, make('td', {}, flow.from + ' → ' + flow.to), make('td', {}, flow.cause),
    make('td', {}, count(flow.count)), make('td', {}, bytes(flow.bytes)))));
  return table;
}

const latencyNames = {CpuFault: 'Host access answered', Migration: 'Copy', Launch: 'Launch submitted', Kernel: 'Kernel'};
function latency(name, width) {
  const of = data.latency[name];
  const first = Math.log2(of.buckets[0][0]), last = Math.log2(of.buckets.at(-1)[0]);
  const most = Math.max(...of.buckets.map(bucket => bucket[1]));
  const height = 84, cell = Math.min(width / (last - first + 1), 28);
  const svg = make('svg', {width, height: height + 18, role: 'img', 'aria-label': 'distribution of times'});
  of.buckets.forEach(([from, n]) => {
    const size = Math.max(height * n / most, 1.5);
    svg.append(make('rect', {x: (Math.log2(from) - first) * cell + 1, y: height - size, width: Math.max(cell - 2, 1), height: size, rx: 1.5,
      fill: 'var(--accent)'}, make('title', {}, time(from) + ' to ' + time(2 * from) + ': ' + count(n))));
  });
  svg.append(make('line', {x1: 0, x2: width, y1: height + 0.5, y2: height + 0.5}),
    make('text', {x: 0, y: height + 15, class: 'soft'}, time(of.buckets[0][0])),
    make('text', {x: Math.min((last - first + 1) * cell, width), y: height + 15, class: 'soft', 'text-anchor': 'end'}, time(2 ** (last + 1))));
  return svg;
}

function latencies() {
  const kinds = Object.keys(latencyNames).filter(name => data.latency[name]);
  if (!kinds.length) return;
  main.append(make('h2', {}, 'Latency'), make('p', {class: 'note'}, 'How often each took how long; each bar is twice the time of the one before.'));
  const columns = make('div', {class: 'columns'});
  main.append(columns);
  for (const name of kinds) {
    const of = data.latency[name];
    const box = make('div', {class: 'panel'}, make('h3', {}, latencyNames[name]), make('p', {class: 'note'},
      make('span', {'data-figure': 'latency.' + name + '.count', 'data-value': of.count}, count(of.count)), ' · half in ',
      make('span', {'data-figure': 'latency.' + name + '.p50_us', 'data-value': of.p50_us}, time(of.p50_us)), ' · 99 % in ' +
      time(of.p99_us) + ' · most ' + time(of.max_us)));
    columns.append(box);
    box.append(latency(name, box.clientWidth - 30));
  }
}

function ranges() {
  const inside = panel('Ranges', 'Those with the most bytes moved.');
  const table = make('table', {}, make('tr', {}, ...['Range', 'Size', 'Accesses', 'Moved'].map(name => make('th', {}, name))));
  data.heat.forEach((range, i) => table.append(make('tr', {}, make('td', {}, label(range)), make('td', {}, bytes(range.size)),
    make('td', {}, count(range.accesses)),
    make('td', {'data-figure': 'heat.' + i + '.moved', 'data-value': range.moved}, bytes(range.moved)))));
  inside.append(table);
}

function draw() {
  main.textContent = '';
  head();
  findings();
  const colors = legend(locations.map((name, i) => [i && data.devices[i - 1] ? name + ' (' + data.devices[i - 1] + ')' : name,
    'background:' + color(name)]));
  if (data.heat.length) {
    const inside = panel('Where ranges were', 'One row for each range; the colour is the location that held most of it, strong where bytes moved.');
    inside.append(colors, heat(inside.clientWidth - 30));
  }
  if (data.residency.length) {
    const inside = panel('Bytes resident', 'A copy at each location counts.');
    inside.append(colors.cloneNode(true), residency(inside.clientWidth - 30));
  }
  if (data.flows.length) {
    const inside = panel('Bytes by direction and cause', 'Darker and lighter parts are causes.');
    inside.append(flows(inside.clientWidth - 30), flowTable());
  }
  latencies();
  if (data.heat.length) ranges();
  main.append(make('footer', {}, 'Made by `sluice report` of a trace by `sluice trace`. Single events: https://ui.perfetto.dev. ' +
    (data.unreadable_lines ? data.unreadable_lines + ' lines of the trace could not be read. ' : '')));
  document.body.dataset.drawn = 'yes';
}
let drawnAt = 0;
function drawIfNeeded() {
  if (document.documentElement.clientWidth === drawnAt) return;
  drawnAt = document.documentElement.clientWidth;
  draw();
}
addEventListener('resize', drawIfNeeded);
drawIfNeeded();
)js";

}  // namespace sluice::tool::report
