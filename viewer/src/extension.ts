/** The extension: the hanging protocol and the panel. */
import type { Ohif } from './ohif';
import { LesionsHost, PANEL } from './panel/host';
import { PROTOCOL, protocol } from './protocol';
import { texts } from './texts';

export const ID = 'petlesion.extension';

let host: LesionsHost;

export default {
  id: ID,
  preRegistration: (ohif: Ohif) => {
    host = new LesionsHost(ohif);
  },
  onModeExit: () => host.leave(),
  getHangingProtocolModule: () => [{ name: PROTOCOL, protocol }],
  getPanelModule: () => [
    {
      name: PANEL,
      iconName: 'tab-segmentation',
      iconLabel: texts.panel,
      label: texts.panel,
      component: host.component,
    },
  ],
};
