// Builds canvas.js and canvas.css of src/; the same sources and lock file give the same bytes. `--check` only compares.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = new URL(".", import.meta.url);
const digest = createHash("sha256");
for (const name of ["package-lock.json", ...readdirSync(new URL("src/", here)).sort().map((name) => `src/${name}`)])
  digest.update(readFileSync(new URL(name, here)));
const built = await build({
  absWorkingDir: new URL(here).pathname,
  entryPoints: ["src/canvas.jsx"],
  outdir: ".",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  charset: "utf8",
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "eof",
  banner: { js: `// Built from src/ by \`make canvas\`; sources ${digest.digest("hex")}` },
  write: false,
});
let stale = 0;
for (const { path, contents } of built.outputFiles) {
  const name = path.split("/").pop();
  if (!process.argv.includes("--check")) writeFileSync(new URL(name, here), contents);
  else if (!readFileSync(new URL(name, here)).equals(contents)) {
    console.error(`${name} is not what src/ gives: run make canvas and commit it`);
    stale = 1;
  }
}
process.exit(stale);
