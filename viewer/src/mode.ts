/** The mode "PET lesions": OHIF's TMTV mode with layout and window of our own, also for a PET without CT. */
import { chosenPet } from './arrival';
import { enlargeByDoubleClick } from './enlarge';
import { keepOpacity, registerColours } from './fusion';
import { awaitPetForMip, drawSparingly, loadPetFirst, volumeId } from './loading';
import { type Any, tools } from './ohif';
import { PET_STAGE, PET_WINDOW, PROTOCOL, ROLE } from './protocol';
import { type Series, chooseCt, choosePet, windowOfTracer } from './series';
import { hasSuv } from './suv';
import { texts } from './texts';

const ID = 'petlesion.mode';
const EXTENSION = '/petlesion-viewer/extension.mjs';
const SEGMENTATION_HANDLER = '@ohif/extension-cornerstone-dicom-seg.sopClassHandlerModule.dicom-seg';

async function modeFactory({ loadModules }: { loadModules: (names: string[]) => Promise<Any[]> }): Promise<Any> {
  const [tmtv, basic] = await loadModules(['@ohif/mode-tmtv', '@ohif/mode-basic']);
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
    isValidMode: ({ modalities }: { modalities: string }) => {
      const valid = modalities.split('\\').includes('PT');
      return { valid, description: valid ? texts.mode : texts.noPet };
    },
    onModeEnter(this: Any, context: Any) {
      // Not TMTV's own, which fails on a PET without CT.
      basic.modeInstance.onModeEnter.call(this, context);
      const { services } = context.servicesManager;
      const { hangingProtocolService, displaySetService, toolGroupService, customizationService } = services;
      registerColours();
      // Two seconds after each edit of a whole body, for a panel that is not shown.
      customizationService.setCustomizations({ 'panelSegmentation.disableUpdateSegmentationStats': { $set: true } });
      const active = () => displaySetService.getActiveDisplaySets() as Series[];
      const shownPet = () => choosePet(active(), chosenPet());
      const { unsubscribe } = toolGroupService.subscribe(toolGroupService.EVENTS.VIEWPORT_ADDED, () =>
        windowTheCt(hangingProtocolService.getMatchDetails().displaySetMatchDetails.get('ctDisplaySet')),
      );
      const { EVENTS } = hangingProtocolService;
      // OHIF begins with the first stage, whatever the study holds.
      const changed = hangingProtocolService.subscribe(EVENTS.PROTOCOL_CHANGED, (event: Any) => {
        const { displaySetMatchDetails, stage } = event;
        if (stage.id !== PET_STAGE && shownPet() && !displaySetMatchDetails.get('ctDisplaySet')) {
          window.setTimeout(() => hangingProtocolService.setProtocol(PROTOCOL, { stageId: PET_STAGE }));
        }
      });
      this._unsubscriptions.push(unsubscribe, changed.unsubscribe);
      this._unsubscriptions.push(drawSparingly(), awaitPetForMip(), keepOpacity(), enlargeByDoubleClick(services));
      loadPetFirst(hangingProtocolService, shownPet);
      hangingProtocolService.addCustomAttribute(ROLE, 'PET or CT of the layout', (series: Series) => {
        const pet = shownPet();
        if (series.SeriesInstanceUID === pet?.SeriesInstanceUID) {
          return 'pet';
        }
        return series.SeriesInstanceUID === chooseCt(active(), pet)?.SeriesInstanceUID ? 'ct' : '';
      });
      hangingProtocolService.addCustomAttribute(PET_WINDOW, 'window of the PET', () => {
        const pet = shownPet();
        // Without SUV the units are any, and the header's window has to do.
        const upper = windowOfTracer(pet);
        // DICOM's window of width w covers w - 1: this one goes from 0 to the SUV.
        return hasSuv(pet) ? { windowWidth: upper + 1, windowCenter: (upper + 1) / 2 } : undefined;
      });
    },
  };
}

/** Lets the window tool act on the CT in fused images, as TMTV does. */
function windowTheCt(match: { displaySetInstanceUID: string } | undefined): void {
  const group = tools().ToolGroupManager.getToolGroup('fusionToolGroup');
  if (match && group) {
    group.setToolConfiguration('WindowLevel', { volumeId: volumeId(match) });
  }
}

export default { id: ID, modeFactory, extensionDependencies: {} };
