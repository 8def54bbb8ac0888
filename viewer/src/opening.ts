/** How a case is opened: its images arrive, and the server reads the PET. */
import type { OpenCase } from './case';
import { encodeEmpty } from './labelmap';
import type { Lesions } from './lesions';
import { allLoaded } from './loading';
import type { Geometry, Vector } from './nrrd';
import type { Any } from './ohif';
import { chooseCt } from './series';
import * as server from './server';
import { goBy } from './suv';

/** Lets the server read the PET while the browser does, so that the first click is not the one that waits for it. */
export async function openImages(open: OpenCase, lesions: Lesions): Promise<void> {
  const read = server.measure(open.image, await encodeEmpty(open.pet));
  const [{ grid, suv }] = await open.whileOpen(Promise.all([read, lesions.labelmap()]));
  open.grid = clicksOn(grid);
  goBy(open, suv.factor);
  void watchCt(open);
}

/** The server's grid, whose affine takes (z, y, x), as one of (x, y, z). */
function clicksOn(grid: server.Measured['grid']): Geometry | undefined {
  if (!grid) {
    return undefined;
  }
  const column = (n: number) => [0, 1, 2].map((row) => grid.affine[row]![n]!) as Vector;
  const [nz, ny, nx] = grid.shape;
  return { size: [nx, ny, nz], origin: column(3), axes: [column(2), column(1), column(0)] };
}

/** Says where images of the CT are missing. Nobody has to wait for it: lesions are drawn on the PET. */
async function watchCt(open: OpenCase): Promise<void> {
  const ct = chooseCt<Any>(open.ohif.servicesManager.services.displaySetService.getActiveDisplaySets(), open.pet);
  if (ct) {
    const say = ({ message }: Error) => open.attempts.report({ asked: 'CT', text: message });
    await allLoaded(ct, () => open.stay()).catch(say);
  }
}
