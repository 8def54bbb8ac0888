import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

it('the files in the Python package are those built from this source', () => {
  const fresh = mkdtempSync(join(tmpdir(), 'petlesion-viewer-'));
  try {
    execFileSync('node', ['build.mjs', fresh]);
    const shipped = '../petlesion/server/viewer';
    expect(readdirSync(fresh).sort()).toEqual(readdirSync(shipped).sort());
    for (const name of readdirSync(fresh)) {
      expect(readFileSync(join(fresh, name), 'utf8'), `${name}: npm run build`).toBe(
        readFileSync(join(shipped, name), 'utf8'),
      );
    }
  } finally {
    rmSync(fresh, { recursive: true });
  }
});
