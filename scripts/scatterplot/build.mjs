// Bundle regl-scatterplot and its dependencies into one ES module in app/map/static/vendor, and
// write the licences of all its packages to LICENCES.txt. Run `make scatterplot`.
import { access, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const target = resolve(here, "../../app/map/static/vendor");
const own = JSON.parse(await readFile(join(here, "node_modules/regl-scatterplot/package.json")));
const name = `regl-scatterplot-${own.version}.js`;

for (const old of await readdir(target)) {
  if (old.startsWith("regl-scatterplot-")) await rm(join(target, old));
}
await build({
  absWorkingDir: here,
  stdin: {
    contents: 'export { default, createSpatialIndex, checkSupport } from "regl-scatterplot";',
    resolveDir: here,
  },
  bundle: true,
  format: "esm",
  minify: true,
  target: "es2022",
  legalComments: "none", // LICENCES.txt contains all licences in full
  outfile: join(target, name),
  banner: { js: `// regl-scatterplot ${own.version} and what it needs; licences in LICENCES.txt.` },
});

// The library's build already contains its dependencies, so include the licences of the whole tree.
const folders = new Set();
async function follow(folder) {
  if (folders.has(folder)) return;
  folders.add(folder);
  const about = JSON.parse(await readFile(join(here, folder, "package.json")));
  for (const dependency of Object.keys(about.dependencies ?? {})) {
    const nested = join(folder, "node_modules", dependency);
    const isNested = await access(join(here, nested)).then(() => true, () => false);
    await follow(isNested ? nested : join("node_modules", dependency));
  }
}
await follow("node_modules/regl-scatterplot");
const parts = [];
for (const folder of [...folders].sort()) {
  const about = JSON.parse(await readFile(join(here, folder, "package.json")));
  const file = (await readdir(join(here, folder))).find((one) => /^licen[cs]e/i.test(one));
  if (!file) throw new Error(`${about.name} comes without a licence text.`);
  const text = (await readFile(join(here, folder, file), "utf8")).trim();
  parts.push(`${about.name} ${about.version} (${about.license})\n\n${text}\n`);
}
// regl-scatterplot contains a modified copy of kdbush, with its notice only in the source.
const isc = `Permission to use, copy, modify, and/or distribute this software for any purpose with or
without fee is hereby granted, provided that the above copyright notice and this permission notice
appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS
SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE
AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES
WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT,
NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE
OF THIS SOFTWARE.`;
parts.push(`kdbush 4.0.2 (ISC)\n\nCopyright (c) 2018, Vladimir Agafonkin\n\n${isc}\n`);
const rule = `\n${"=".repeat(80)}\n\n`;
await writeFile(join(target, "LICENCES.txt"), `What ${name} is made of.\n${rule}${parts.join(rule)}`);
console.log(`${name}: ${parts.length} packages`);
