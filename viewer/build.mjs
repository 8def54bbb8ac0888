// Bundles the extension and the mode into the Python package, which ships them: a server needs no Node.
import { copyFile, mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const target = process.argv[2] ?? here('../petlesion/server/viewer');

await mkdir(target, { recursive: true });
await build({
  absWorkingDir: here('.'),
  entryPoints: { extension: 'src/extension.ts', mode: 'src/mode.ts' },
  outdir: target,
  outExtension: { '.js': '.mjs' },
  bundle: true,
  format: 'esm',
  target: 'es2022',
  minify: true,
  jsx: 'automatic',
  define: { 'process.env.NODE_ENV': '"production"' },
  legalComments: 'inline',
});
await copyFile(here('app-config.js'), `${target}/app-config.js`);
