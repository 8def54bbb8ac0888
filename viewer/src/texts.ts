/** All that annotators read, in English. */
export const texts = {
  mode: 'PET lesions',
  layout: 'CT, PET, fused and MIP',
};
