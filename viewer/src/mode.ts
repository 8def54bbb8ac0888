/** The mode "PET lesions": OHIF's TMTV mode with layout and window of our own. */
import { PET_WINDOW, PROTOCOL, ROLE } from './protocol';
import { type Series, chooseCt, choosePet, windowOfTracer } from './series';
import { texts } from './texts';

const ID = 'petlesion.mode';
const EXTENSION = '/petlesion-viewer/extension.mjs';
const SEGMENTATION_HANDLER = '@ohif/extension-cornerstone-dicom-seg.sopClassHandlerModule.dicom-seg';

// OHIF publishes no types for what it passes to modes.
type Any = any;

async function modeFactory({ loadModules }: { loadModules: (names: string[]) => Promise<Any[]> }): Promise<Any> {
  const [tmtv] = await loadModules(['@ohif/mode-tmtv']);
  const base = tmtv.modeInstance;
  const [route] = base.routes;
  return {
    ...base,
    id: ID,
    routeName: 'pet-lesions',
    displayName: texts.mode,
    hide: false,
    _unsubscriptions: [],
    routes: [
      {
        ...route,
        path: 'pet-lesions',
        layoutInstance: {
          ...route.layoutInstance,
          props: { ...route.layoutInstance.props, rightPanels: ['petlesion.extension.panelModule.lesions'] },
        },
      },
    ],
    extensions: { ...base.extensions, [EXTENSION]: '*' },
    hangingProtocol: PROTOCOL,
    sopClassHandlers: [...base.sopClassHandlers, SEGMENTATION_HANDLER],
    onModeEnter(this: Any, context: Any) {
      base.onModeEnter.call(this, context);
      const { hangingProtocolService, displaySetService } = context.servicesManager.services;
      const active = () => displaySetService.getActiveDisplaySets() as Series[];
      hangingProtocolService.addCustomAttribute(ROLE, 'PET or CT of the layout', (series: Series) => {
        const pet = choosePet(active());
        if (series.SeriesInstanceUID === pet?.SeriesInstanceUID) {
          return 'pet';
        }
        return series.SeriesInstanceUID === chooseCt(active(), pet)?.SeriesInstanceUID ? 'ct' : '';
      });
      hangingProtocolService.addCustomAttribute(PET_WINDOW, 'window of the PET', () => {
        const upper = windowOfTracer(choosePet(active()));
        return { windowWidth: upper, windowCenter: upper / 2 };
      });
    },
  };
}

export default { id: ID, modeFactory, extensionDependencies: {} };
