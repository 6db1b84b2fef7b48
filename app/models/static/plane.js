// Plot the members of a cluster in a plane; choose some with a lasso or by a quantity.

const MARGIN = 16;
const VIRIDIS = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
const REACH = 9; // largest distance from the pointer to a point under it, in CSS pixels

export async function attachPlane(root, choice, glance) {
  const section = root.querySelector("section.plane");
  if (!section) return;
  let data;
  try {
    const answer = await fetch(section.dataset.plane);
    if (!answer.ok) return; // the checkboxes on the cards work without the plot
    data = await answer.json();
  } catch {
    return;
  }
  if (data.ids.length < 3) return;
  section.hidden = false;
  const shares = data.shares.map((share) => `${Math.round(100 * share)} %`);
  const missing = data.size > data.ids.length ? `, the ${data.ids.length.toLocaleString("en-GB")} nearest to the medoid` : "";
  section.querySelector(".shares").textContent =
    `Axes: the first two principal components (${shares[0]} and ${shares[1]} of the variance${missing}). Colour: lighter is more of the quantity chosen, at first the distance to the medoid.`;
  const plot = new Plot(section.querySelector("canvas"), data, choice);
  choice.onChange(() => plot.draw());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plot.draw());
  new MutationObserver(() => plot.draw()).observe(root.head, { attributes: true, subtree: true });
  new ResizeObserver(() => plot.resize()).observe(plot.canvas);
  attachLoop(plot, data, choice, glance, Boolean(root.querySelector("form#review")));
  attachRule(section, data, choice, plot);
}

class Plot {
  constructor(canvas, data, choice) {
    this.canvas = canvas;
    this.data = data;
    this.choice = choice;
    this.loop = [];
    this.by = "distance"; // the quantity that colours the points
  }

  resize() {
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(this.canvas.clientWidth * scale);
    this.canvas.height = Math.round(this.canvas.clientHeight * scale);
    this.place();
    this.draw();
  }

  // Scale both axes alike, so that distances are comparable.
  place() {
    const { x, y } = this.data;
    const [left, right] = ends(x);
    const [low, high] = ends(y);
    const width = this.canvas.clientWidth - 2 * MARGIN;
    const height = this.canvas.clientHeight - 2 * MARGIN;
    const scale = Math.min(width / (right - left || 1), height / (high - low || 1));
    const middle = [(left + right) / 2, (low + high) / 2];
    this.points = x.map((value, index) => [
      this.canvas.clientWidth / 2 + scale * (value - middle[0]),
      this.canvas.clientHeight / 2 - scale * (y[index] - middle[1]),
    ]);
  }

  draw() {
    if (!this.points) return;
    const context = this.canvas.getContext("2d");
    const scale = devicePixelRatio || 1;
    const colour = (name) => getComputedStyle(this.canvas).getPropertyValue(name).trim();
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    const size = this.points.length > 1500 ? 2 : 3.5;
    const [plain, chosen, ink] = [colour("--rule-strong"), colour("--accent"), colour("--ink")];
    const values = this.data[this.by];
    const [low, high] = ends(values);
    for (const pass of [false, true]) {
      context.strokeStyle = pass ? chosen : plain;
      context.lineWidth = pass ? 2 : 0.5;
      for (const [index, [x, y]] of this.points.entries()) {
        if (this.choice.ids.has(this.data.ids[index]) !== pass) continue;
        context.fillStyle = values[index] === null ? plain : shade((values[index] - low) / (high - low || 1));
        context.beginPath();
        if (pass) context.rect(x - size - 0.5, y - size - 0.5, 2 * size + 1, 2 * size + 1); // shape as well as colour marks chosen points
        else context.arc(x, y, size, 0, 7);
        context.fill();
        context.stroke();
      }
    }
    const [medoidX, medoidY] = this.points[0];
    context.strokeStyle = ink;
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(medoidX, medoidY, size + 4, 0, 7);
    context.stroke();
    context.fillStyle = ink;
    context.font = "12px sans-serif";
    context.fillText("medoid", Math.min(medoidX + size + 7, this.canvas.clientWidth - 50), medoidY + 4);
    if (this.loop.length > 1) {
      context.beginPath();
      for (const [x, y] of this.loop) context.lineTo(x, y);
      context.setLineDash([4, 3]);
      context.stroke();
      context.setLineDash([]);
    }
  }
}

function attachLoop(plot, data, choice, glance, canChoose) {
  const canvas = plot.canvas;
  const at = (event) => [event.offsetX, event.offsetY];
  let isDrawing = false;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !canChoose) return;
    isDrawing = true;
    glance?.hide();
    plot.loop = [at(event)];
    try {
      canvas.setPointerCapture(event.pointerId);
    } catch {
      // The pointer has gone already.
    }
  });
  canvas.addEventListener("pointermove", (event) => {
    if (isDrawing) {
      plot.loop.push(at(event));
      plot.draw();
      return;
    }
    const index = nearest(plot.points ?? [], at(event));
    if (index < 0) glance?.hide();
    else glance?.showAt(`/ui/glitches/${data.ids[index]}`, "member", canvas, plot.points[index]);
  });
  canvas.addEventListener("pointerleave", () => isDrawing || glance?.hide());
  const finish = (event) => {
    if (!isDrawing) return;
    isDrawing = false;
    const inside = data.ids.filter((_, index) => isInside(plot.points[index], plot.loop));
    const isLoop = plot.loop.length > 2;
    plot.loop = [];
    if (isLoop) choice.set(event.shiftKey ? [...choice.ids, ...inside] : inside);
    else plot.draw();
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
}

function attachRule(section, data, choice, plot) {
  const quantity = section.querySelector("#rule-by");
  if (!quantity) return;
  const side = section.querySelector("#rule-side");
  const slider = section.querySelector("#rule-at");
  const output = section.querySelector("#rule-value");
  for (const option of [...quantity.options]) {
    if (data[option.value].every((value) => value === null)) option.remove();
  }
  const value = () => {
    const [low, high] = ends(data[quantity.value]);
    return low + ((high - low) * Number(slider.value)) / 1000;
  };
  const describe = () => {
    const number = value();
    const text = quantity.value === "gps_time" ? Math.round(number) : Number(number.toPrecision(3));
    const unit = { peak_frequency: " Hz", gps_time: " GPS" }[quantity.value] ?? "";
    output.textContent = `${text}${unit}`;
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  const choose = () => {
    describe();
    const limit = value();
    choice.set(
      data.ids.filter((_, index) => {
        const memberValue = data[quantity.value][index];
        return memberValue !== null && (side.value === "above" ? memberValue >= limit : memberValue < limit);
      }),
    );
  };
  quantity.addEventListener("input", () => {
    plot.by = quantity.value;
  });
  for (const field of [quantity, side, slider]) field.addEventListener("input", choose);
  section.querySelector(".clear-choice").addEventListener("click", () => choice.set([]));
  describe();
}

// The colour of viridis for a value from 0 to 1.
function shade(share) {
  const place = share * (VIRIDIS.length - 1);
  const [left, right] = [Math.floor(place), Math.ceil(place)].map((index) => VIRIDIS[index]);
  return `color-mix(in srgb, ${right} ${Math.round(100 * (place % 1))}%, ${left})`;
}

function ends(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function nearest(points, [x, y]) {
  let [best, reach] = [-1, REACH];
  for (const [index, point] of points.entries()) {
    const distance = Math.hypot(point[0] - x, point[1] - y);
    if (distance < reach) [best, reach] = [index, distance];
  }
  return best;
}

// Even-odd rule: a point is inside if a ray to its right crosses the loop an odd number of times.
function isInside([x, y], loop) {
  let inside = false;
  for (let i = 0, j = loop.length - 1; i < loop.length; j = i, i += 1) {
    const [ax, ay] = loop[i];
    const [bx, by] = loop[j];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}
