"use strict";
// Draws the charts of the report, sorts its tables and lets a reader choose series. Data come as JSON; names from data
// reach the page as text only.
(() => {
  const report = JSON.parse(document.getElementById("report-data").textContent);
  const root = document.documentElement;
  const narrow = () => window.innerWidth < 600;
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const chosen = {};
  const whole = {};

  const colour = (name) => getComputedStyle(root).getPropertyValue(`--${name}`).trim();

  // Colours of a figure are names of the style sheet's, so that light, dark and print have their own.
  const coloured = (thing, key = "") => {
    if (Array.isArray(thing)) return thing.map((one) => coloured(one, key));
    if (thing && typeof thing === "object") {
      return Object.fromEntries(Object.entries(thing).map(([name, value]) => [name, coloured(value, name)]));
    }
    const named = typeof thing === "string" && thing.startsWith("@") && /color/.test(key);
    return named ? colour(thing.slice(1)) : thing;
  };

  const axis = (own) => ({
    gridcolor: "@grid", zerolinecolor: "@grid", linecolor: "@faint", automargin: true, ...own,
    title: { standoff: 8, ...(own || {}).title },
  });

  const draw = (id, figure) => {
    const place = document.getElementById(id);
    const layout = { ...figure.layout };
    for (const name of ["xaxis", "yaxis", ...Object.keys(layout).filter((key) => /^[xy]axis\d/.test(key))]) {
      layout[name] = axis(layout[name]);
    }
    const drawn = coloured({
      font: { family: getComputedStyle(document.body).fontFamily, size: narrow() ? 11 : 13, color: "@text" },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest", barcornerradius: 3,
      margin: { l: 8, r: 12, t: 12, b: 8 }, height: place.clientHeight, autosize: true,
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom" },
      hoverlabel: { bgcolor: "@page", bordercolor: "@faint", font: { color: "@text" } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "@faint", activecolor: "@text" },
      dragmode: coarse ? false : "zoom", ...layout,
    });
    const options = {
      responsive: true, displaylogo: false, displayModeBar: coarse || narrow() ? false : "hover",
      modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    };
    return Plotly.react(place, coloured(figure.data), drawn, options);
  };

  const styles = {
    history: { color: "@history", width: 1.4 }, forecast: { color: "@forecast", width: 2.2 },
    backtest: { color: "@backtest", width: 1.4, dash: "dot" }, surprise: { color: "@forecast", width: 1.4 },
    threshold: { color: "@quiet", width: 1.2, dash: "dash" },
  };

  const stamps = (track, count) => report.axes[track.axis].slice(track.at, track.at + count);

  // A band is a closed outline; where a value is missing it ends, and the next one begins.
  const outline = (track) => {
    const x = stamps(track, track.low.length), found = { x: [], y: [] };
    let run = [];
    const close = () => {
      if (!run.length) return;
      const back = run.slice().reverse();
      found.x.push(...run.map((i) => x[i]), ...back.map((i) => x[i]), null);
      found.y.push(...run.map((i) => track.low[i]), ...back.map((i) => track.high[i]), null);
      run = [];
    };
    for (let i = 0; i < x.length; i++) {
      if (track.low[i] === null || track.high[i] === null) close(); else run.push(i);
    }
    close();
    return found;
  };

  const traces = (track, shown) => {
    const below = track.panel ? { xaxis: "x", yaxis: "y2" } : {};
    const legend = { name: track.name, legendgroup: track.name, showlegend: !shown.has(track.name) };
    shown.add(track.name);
    if (track.low) {
      const single = track.low.length === 1;
      const fill = { fill: "toself", fillcolor: `@${track.role}`, hoverinfo: "skip", mode: "lines" };
      const line = { width: single ? 12 : 0, color: `@${track.role}` };
      return [{ ...outline(track), ...fill, line, ...legend, ...below }];
    }
    const x = stamps(track, track.values.length);
    const known = (i) => track.values[i] !== null && track.values[i] !== undefined;
    const alone = x.map((_, i) => known(i) && !known(i - 1) && !known(i + 1));
    const line = { x, y: track.values, mode: alone.some(Boolean) ? "lines+markers" : "lines", connectgaps: false };
    const marker = { color: styles[track.role].color, size: alone.map((one) => (one ? 5 : 0)), line: { width: 0 } };
    return [{ ...line, line: styles[track.role], marker, ...legend, ...below }];
  };

  const shade = ([from, to]) => ({
    type: "rect", xref: "x", yref: "paper", x0: from, x1: to, y0: 0, y1: 1, line: { width: 1, color: "@alarm" },
    fillcolor: "@alarmband", layer: "below",
  });

  // The steps from a place on: a long history would leave its forecast a few pixels.
  const recent = (track, from) => {
    const left = track.axis === from.axis ? Math.max(0, from.at - track.at) : 0;
    if (!left) return track;
    const cut = (values) => values && values.slice(left);
    return { ...track, at: track.at + left, values: cut(track.values), low: cut(track.low), high: cut(track.high) };
  };

  const seriesFigure = (item, chart, all) => {
    const tracks = all || !item.from ? item.tracks : item.tracks.map((track) => recent(track, item.from))
      .filter((track) => (track.values || track.low).length);
    const two = tracks.some((track) => track.panel);
    const shown = new Set();
    const layout = {
      hovermode: "x unified", xaxis: { title: { text: chart.x } }, shapes: (item.spans || []).map(shade),
      yaxis: { title: { text: chart.y }, domain: two ? [0.42, 1] : [0, 1] },
    };
    if (two) Object.assign(layout, { yaxis2: { title: { text: chart.below }, domain: [0, 0.34] } });
    if (item.end) {
      layout.shapes.push({
        type: "line", xref: "x", yref: "paper", x0: item.end, x1: item.end, y0: 0, y1: 1,
        line: { color: "@faint", width: 1, dash: "dash" },
      });
    }
    return { data: tracks.flatMap((track) => traces(track, shown)), layout };
  };

  const cell = (row, tag, text) => {
    const made = row.appendChild(document.createElement(tag));
    made.textContent = text;
    return made;
  };

  const written = (value) => (value === null ? "–" : Number(value).toLocaleString("en", { maximumSignificantDigits: 6 }));

  const numbers = (id, item) => {
    const place = document.getElementById(`${id}-numbers`);
    if (!place) return;
    const last = item.tracks ? item.tracks.filter((track) => track.ahead) : [];
    place.closest("details").hidden = !last.length;
    place.replaceChildren();
    if (!last.length) return;
    const columns = last.flatMap((track) =>
      track.low ? [[`${track.name}, low`, track.low], [`${track.name}, high`, track.high]] : [[track.name, track.values]]);
    const table = document.createElement("table");
    const caption = table.appendChild(document.createElement("caption"));
    caption.textContent = `Forecast of ${item.name}`;
    const head = table.createTHead().insertRow();
    for (const text of ["time", ...columns.map(([name]) => name)]) cell(head, "th", text).scope = "col";
    const body = table.createTBody();
    stamps(last[0], columns[0][1].length).forEach((stamp, i) => {
      const row = body.insertRow();
      cell(row, "th", stamp).scope = "row";
      for (const [, values] of columns) cell(row, "td", written(values[i]));
    });
    place.append(table);
  };

  const show = (id) => {
    const chart = report.charts[id];
    if (!chart.items) return draw(id, chart);
    const item = chart.items[chosen[id] || 0];
    document.getElementById(`${id}-name`).textContent = item.name;
    document.getElementById(`${id}-text`).textContent = item.text;
    numbers(id, item);
    return draw(id, item.tracks ? seriesFigure(item, chart, whole[id]) : item);
  };

  const toggle = (id) => {
    const button = document.getElementById(`${id}-whole`);
    if (!button) return;
    button.addEventListener("click", () => {
      whole[id] = !whole[id];
      button.setAttribute("aria-pressed", String(whole[id]));
      show(id);
    });
  };

  const chooser = (id) => {
    const select = document.getElementById(`${id}-choice`);
    if (!select) return;
    const go = (place) => {
      chosen[id] = place;
      select.value = String(place);
      show(id);
    };
    const options = Array.from(select.options);
    select.addEventListener("change", () => go(Number(select.value)));
    const move = (by) => {
      const there = Array.from(select.options);
      const next = there.findIndex((one) => one.selected) + by;
      if (next >= 0 && next < there.length) go(Number(there[next].value));
    };
    document.getElementById(`${id}-before`).addEventListener("click", () => move(-1));
    document.getElementById(`${id}-after`).addEventListener("click", () => move(1));
    const filter = document.getElementById(`${id}-filter`);
    if (filter) {
      filter.addEventListener("input", () => {
        const text = filter.value.toLowerCase();
        const kept = options.filter((one) => one.textContent.toLowerCase().includes(text));
        select.replaceChildren(...kept);
        if (kept.length) go(Number((kept.find((one) => one.selected) || kept[0]).value));
      });
    }
  };

  const sortable = (table) => {
    const heads = Array.from(table.tHead.rows[0].cells);
    const value = (row, place) => {
      const one = row.cells[place];
      const number = one.dataset.value === undefined ? NaN : Number(one.dataset.value);
      return Number.isNaN(number) ? (one.dataset.value === undefined ? one.textContent : null) : number;
    };
    const compare = (a, b, way) => {
      if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
      return way * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    };
    heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        heads.forEach((one) => one.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
        const rows = Array.from(table.tBodies[0].rows);
        rows.sort((a, b) => compare(value(a, place), value(b, place), way));
        table.tBodies[0].append(...rows);
      });
    });
  };

  const showAll = () => Promise.all(Object.keys(report.charts).map(show));

  document.querySelectorAll("table.sortable").forEach(sortable);
  Object.keys(report.charts).forEach(chooser);
  Object.keys(report.charts).forEach(toggle);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", showAll);
  window.addEventListener("beforeprint", () => { root.classList.add("printing"); showAll(); });
  window.addEventListener("afterprint", () => { root.classList.remove("printing"); showAll(); });
  showAll().then(() => root.setAttribute("data-drawn", "true"));
})();
