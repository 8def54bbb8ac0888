// Licence comments and copyright lines of what OHIF bundles, each once.
import { readFileSync } from 'node:fs';

const COMMENT = /\/\*[!*][\s\S]{0,6000}?\*\//g;
const SAYS_SO = /@license|@preserve|copyright \(c\)|\(c\) \d{4}|licensed under/i;

export function notices(licence, bundles) {
  const found = new Set();
  for (const path of bundles) {
    for (const [comment] of readFileSync(path, 'utf8').matchAll(COMMENT)) {
      if (SAYS_SO.test(comment)) {
        found.add(comment.trim());
      }
    }
  }
  const head = `OHIF Viewer, its code minified and some files left out\n\n${licence.trim()}\n`;
  return [head, 'Notices found in its bundles\n', ...[...found].sort()].join('\n\n') + '\n';
}
