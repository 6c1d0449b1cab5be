"""The style and the script of a report, written into the page itself."""

STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --blue: #1f5fbf; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; color: var(--ink);
  margin: 0 auto; max-width: 1200px; padding: 24px; background: #fff; }
h1 { font-size: 24px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 32px 0 8px; }
p, .soft { color: var(--soft); margin: 4px 0; }
nav a { margin-right: 14px; color: var(--blue); text-decoration: none; }
.numbers { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0; }
.numbers div { border: 1px solid var(--line); border-radius: 6px; padding: 8px 14px; }
.numbers b { display: block; font-size: 20px; }
.scroll { overflow-x: auto; max-height: 480px; overflow-y: auto; border: 1px solid var(--line); }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 5px 9px; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { position: sticky; top: 0; background: #f4f6f9; white-space: nowrap; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid var(--blue); }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.failed { color: #b3261e; font-weight: 600; } td.partial { color: #9a5b00; font-weight: 600; }
td.reason, td.message { min-width: 320px; }
td.done { color: #1c7a3d; }
.filters { display: flex; gap: 10px; margin: 8px 0; align-items: center; flex-wrap: wrap; }
input, select { font: inherit; padding: 4px 8px; border: 1px solid #b6bfca; border-radius: 4px; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(520px, 1fr)); gap: 18px; }
.card { border: 1px solid var(--line); border-radius: 6px; padding: 10px; }
.card .pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; align-items: start; }
.card img { width: 100%; display: block; }
figure { margin: 0; } figcaption { font-size: 12px; color: var(--soft); margin-top: 3px; }
.card h3 { font-size: 14px; margin: 0 0 6px; overflow-wrap: anywhere; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 12px; }
.sheet img { width: 100%; background: #000; display: block; }
.sheet dl { margin: 4px 0 0; font-size: 12px; display: grid; grid-template-columns: auto 1fr;
  column-gap: 6px; }
.sheet dt { color: var(--soft); } .sheet dd { margin: 0; overflow-wrap: anywhere; }
.sheet .id { font-size: 12px; overflow-wrap: anywhere; }
canvas { border: 1px solid var(--line); max-width: 100%; }
#legend { display: flex; flex-wrap: wrap; gap: 4px 14px; font-size: 13px; margin: 6px 0; }
#legend i { display: inline-block; width: 11px; height: 11px; margin-right: 5px;
  border-radius: 50%; }
pre { background: #f4f6f9; padding: 10px; overflow-x: auto; font-size: 12px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
@media (max-width: 640px) { .cards { grid-template-columns: 1fr; } body { padding: 12px; } }
"""

SCRIPT = """
'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const SHOWN = 500;
function fill(table) {
  const host = document.getElementById(table.id);
  const text = document.getElementById(table.id + '-filter');
  const status = document.getElementById(table.id + '-status');
  const count = document.getElementById(table.id + '-count');
  const place = table.columns.indexOf('status');
  let by = -1, down = false;
  const head = host.tHead.insertRow();
  table.columns.forEach((name, index) => {
    const cell = document.createElement('th');
    const button = document.createElement('button');
    button.textContent = name.replaceAll('_', ' ');
    button.title = 'sort by ' + name;
    button.onclick = () => { down = by === index ? !down : false; by = index; draw(); };
    cell.append(button);
    head.append(cell);
  });
  function compare(one, other) {
    const a = one[by], b = other[by];
    if (a === b) return 0;
    if (a === null) return 1;
    if (b === null) return -1;
    const order = typeof a === 'number' && typeof b === 'number'
      ? a - b : String(a).localeCompare(String(b), undefined, {numeric: true});
    return down ? -order : order;
  }
  function draw() {
    const words = text.value.toLowerCase().split(' ').filter(word => word);
    let rows = table.rows.filter(row => {
      if (status && status.value && row[place] !== status.value) return false;
      const line = row.map(value => value === null ? '' : String(value)).join(' ').toLowerCase();
      return words.every(word => line.includes(word));
    });
    if (by >= 0) rows = [...rows].sort(compare);
    [...head.cells].forEach((cell, index) => {
      cell.ariaSort = index === by ? (down ? 'descending' : 'ascending') : 'none';
      const name = table.columns[index].replaceAll('_', ' ');
      cell.firstChild.textContent = name + (index === by ? (down ? ' ▼' : ' ▲') : '');
    });
    const body = document.createElement('tbody');
    rows.slice(0, SHOWN).forEach(row => {
      const line = body.insertRow();
      row.forEach((value, index) => {
        const cell = line.insertCell();
        if (typeof value === 'number') cell.className = 'number';
        if (index === place) cell.className = value;
        if (['reason', 'message'].includes(table.columns[index])) {
          cell.className = table.columns[index];
        }
        cell.textContent = value === null ? ''
          : Number.isInteger(value) ? value.toLocaleString('en') : value;
      });
    });
    host.tBodies[0].replaceWith(body);
    count.textContent = rows.length.toLocaleString('en') + ' of '
      + table.rows.length.toLocaleString('en')
      + (rows.length > SHOWN ? ', the first ' + SHOWN + ' shown' : '');
  }
  if (status) {
    [...new Set(table.rows.map(row => row[place]))].sort().forEach(value => {
      status.add(new Option(value, value));
    });
    status.onchange = draw;
  }
  text.oninput = draw;
  draw();
}
data.tables.forEach(fill);

const COLORS = ['#1f77b4', '#ff7f0e', '#2ca02c', '#d62728', '#9467bd', '#8c564b', '#e377c2',
  '#17becf', '#bcbd22', '#111111', '#aec7e8', '#ffbb78', '#98df8a', '#ff9896', '#c5b0d5'];
function scatter(points) {
  const canvas = document.getElementById('scatter');
  const choose = document.getElementById('color-by');
  const legend = document.getElementById('legend');
  Object.keys(points.labels).forEach(name => choose.add(new Option(name, name)));
  function draw() {
    const label = points.labels[choose.value];
    const pen = canvas.getContext('2d');
    const edge = 14, width = canvas.width - 2 * edge, height = canvas.height - 2 * edge;
    const span = values => {
      const low = Math.min(...values), high = Math.max(...values);
      return [low, high > low ? high - low : 1];
    };
    const [left, wide] = span(points.x), [low, tall] = span(points.y);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    points.x.forEach((x, index) => {
      const value = label ? label.index[index] : 0;
      pen.fillStyle = value < 0 ? '#c8ced6' : COLORS[value % COLORS.length];
      pen.globalAlpha = value < 0 ? 0.5 : 0.75;
      pen.beginPath();
      pen.arc(edge + (x - left) / wide * width,
        canvas.height - edge - (points.y[index] - low) / tall * height, 3, 0, 7);
      pen.fill();
    });
    legend.replaceChildren();
    (label ? label.values : []).forEach((value, index) => {
      const item = document.createElement('span'), dot = document.createElement('i');
      dot.style.background = COLORS[index % COLORS.length];
      item.append(dot, value + ' (' + label.index.filter(one => one === index).length + ')');
      legend.append(item);
    });
    const without = label ? label.index.filter(one => one < 0).length : 0;
    if (without) {
      const item = document.createElement('span'), dot = document.createElement('i');
      dot.style.background = '#c8ced6';
      item.append(dot, 'none (' + without + ')');
      legend.append(item);
    }
  }
  choose.onchange = draw;
  draw();
}
if (data.points) scatter(data.points);
document.body.dataset.ready = 'yes';
"""
