/** The extension: the hanging protocol and the panel. */
import type { Ohif } from './ohif';
import { PANEL, lesionsPanel } from './panel/host';
import { PROTOCOL, protocol } from './protocol';
import { texts } from './texts';

export const ID = 'petlesion.extension';

export default {
  id: ID,
  getHangingProtocolModule: () => [{ name: PROTOCOL, protocol }],
  getPanelModule: (ohif: Ohif) => [
    {
      name: PANEL,
      iconName: 'tab-segmentation',
      iconLabel: texts.panel,
      label: texts.panel,
      component: lesionsPanel(ohif),
    },
  ],
};
