import { expect, it } from 'vitest';
import { totalsOf } from '../src/panel/LesionList';
import type { Lesion } from '../src/server';

it('the total uptake has a unit, and with FDG the name that it has there', () => {
  const lesions = [{ volume_ml: 10, suv_mean: 4 }, { volume_ml: 2, suv_mean: 5 }] as Lesion[];
  expect(totalsOf(lesions, true)).toBe('2 lesions, 12.0 mL, TLG 50.0 g');
  expect(totalsOf(lesions.slice(1), false)).toBe('1 lesion, 2.00 mL, TLU 10.0 g');
});
