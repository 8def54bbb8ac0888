// Fetches the OHIF distribution, its integrity checked, and writes what is needed of it to a folder, its code minified.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { transform } from 'esbuild';
import { notices } from './notices.mjs';

const PACKAGE = '@ohif/app@3.13.2';
const INTEGRITY =
  'sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA==';
// The ONNX runtime of one tool that downloads a network, and the microscopy viewer: 156 of 204 MB.
const UNNEEDED = ['ort', 'dicom-microscopy-viewer'];

const WRITTEN = `${PACKAGE}, minified`;

const target = process.argv[2] ?? fileURLToPath(new URL('../build/ohif', import.meta.url));
if (existsSync(join(target, 'version.txt')) && readFileSync(join(target, 'version.txt'), 'utf8') === WRITTEN) {
  console.log(`${target} holds ${WRITTEN} already`);
  process.exit(0);
}
mkdirSync(dirname(target), { recursive: true });
const work = mkdtempSync(join(dirname(target), '.ohif-'));
try {
  console.log(`fetch ${PACKAGE}, 50 MB`);
  const quiet = { cwd: work, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' };
  const [{ filename }] = JSON.parse(execFileSync('npm', ['pack', PACKAGE, '--json', '--loglevel=error'], quiet));
  const digest = createHash('sha512').update(readFileSync(join(work, filename))).digest('base64');
  if (`sha512-${digest}` !== INTEGRITY) {
    throw new Error(`${PACKAGE} is not what was published: sha512-${digest}`);
  }
  execFileSync('tar', ['xzf', filename], quiet);
  const dist = join(work, 'package', 'dist');
  for (const name of UNNEEDED) {
    rmSync(join(dist, name), { recursive: true, force: true });
  }
  const licence = readFileSync(join(work, 'package', 'LICENSE'), 'utf8');
  const bundles = readdirSync(dist).filter((name) => name.endsWith('.js')).map((name) => join(dist, name));
  writeFileSync(join(dist, 'THIRD-PARTY-NOTICES.txt'), notices(licence, bundles));
  let [before, after] = [0, 0];
  for (const path of bundles) {
    // Names stay, so that what an error says can be looked up.
    const short = { minifyWhitespace: true, minifySyntax: true, legalComments: 'none', charset: 'utf8' };
    const source = readFileSync(path, 'utf8');
    const { code } = await transform(source, short);
    writeFileSync(path, code);
    [before, after] = [before + source.length, after + code.length];
  }
  writeFileSync(join(dist, 'version.txt'), WRITTEN);
  rmSync(target, { recursive: true, force: true });
  renameSync(dist, target);
  console.log(`wrote ${target}: ${[before, after].map((size) => (size / 1e6).toFixed(0)).join(' MB of code as ')} MB`);
} finally {
  rmSync(work, { recursive: true, force: true });
}
