// The interactive figure of docs/theory.md: gradients of a network of numbers, in closed form.
(function () {
  const box = document.getElementById("scalar");
  if (!box) return;
  box.innerHTML =
    '<label>Layers <input id="scalar-depth" type="range" min="2" max="16" value="8" aria-label="number of layers"> <output></output></label> ' +
    '<label>Weight of each layer <input id="scalar-weight" type="range" min="-1" max="1.2" step="0.05" value="0.5" aria-label="weight of each layer"> <output></output></label>' +
    '<div class="scalar-plots"></div>';
  const [depth, weight] = box.querySelectorAll("input");
  const [depthOut, weightOut] = box.querySelectorAll("output");
  const plots = box.querySelector(".scalar-plots");

  // dy/dw_i = (what comes back to layer i) * (what layer i is given); x0 = 1.
  function gradients(kind, w, count) {
    return Array.from({ length: count }, (_, index) => {
      const after = count - 1 - index;
      const factor = kind === "residual" ? 1 + w : w;
      const given = Math.pow(factor, index);
      let back = Math.pow(factor, after);
      if (kind === "acn") {
        back = 0;
        for (let j = 0; j <= after; j++) back += Math.pow(w, j);
      }
      const direct = kind === "ffn" && after > 0 ? 0 : given;
      return { direct: direct, full: given * back };
    });
  }

  function plot(name, rows) {
    const largest = Math.max(...rows.map((r) => Math.max(Math.abs(r.full), Math.abs(r.direct))), 1e-12);
    const width = 300 / rows.length;
    const bars = rows
      .map((row, i) => {
        const full = (90 * Math.abs(row.full)) / largest;
        const direct = (90 * Math.abs(row.direct)) / largest;
        const title = `<title>layer ${i + 1}: full ${row.full.toPrecision(3)}, direct ${row.direct.toPrecision(3)}</title>`;
        return (
          `<g>${title}<rect x="${i * width + 1}" y="${100 - full}" width="${width - 2}" height="${full}" fill="#56b4e9"/>` +
          `<rect x="${i * width + 1 + width / 4}" y="${100 - direct}" width="${width / 2 - 2}" height="${direct}" fill="#0072b2"/></g>`
        );
      })
      .join("");
    return (
      `<figure><svg viewBox="0 0 300 102" role="img" aria-label="${name}: gradient by layer">${bars}` +
      '<line x1="0" y1="100.5" x2="300" y2="100.5" stroke="currentColor"/></svg>' +
      `<figcaption>${name}: largest ${largest.toPrecision(3)} (wide: full gradient, narrow: direct part; layer 1 on the left)</figcaption></figure>`
    );
  }

  function draw() {
    const count = Number(depth.value);
    const w = Number(weight.value);
    depthOut.textContent = count;
    weightOut.textContent = w.toFixed(2);
    plots.innerHTML = [["ffn", "Feed-forward"], ["residual", "Residual"], ["acn", "ACN"]]
      .map(([kind, name]) => plot(name, gradients(kind, w, count)))
      .join("");
  }
  depth.addEventListener("input", draw);
  weight.addEventListener("input", draw);
  draw();
})();
