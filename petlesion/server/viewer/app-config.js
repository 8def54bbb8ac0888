/** Settings of OHIF: everything from this server, nothing from anywhere else. */
window.config = {
  name: 'petlesion',
  routerBasename: null,
  extensions: [],
  modes: ['/petlesion-viewer/mode.mjs'],
  // Modes that come with OHIF and are of no use to annotators of PET/CT.
  modesConfiguration: Object.fromEntries(
    [
      '@ohif/mode-longitudinal',
      '@ohif/mode-basic',
      '@ohif/mode-segmentation',
      '@ohif/mode-tmtv',
      '@ohif/mode-microscopy',
      '@ohif/mode-preclinical-4d',
      '@ohif/mode-ultrasound-pleura-bline',
    ].map((id) => [id, { hide: { $set: true } }]),
  ),
  // A stroke counts at once, wherever it begins; OHIF takes the first one in a viewport for the choice of it alone.
  activateViewportBeforeInteraction: false,
  showStudyList: true,
  showLoadingIndicator: true,
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  strictZSpacingForVolumeViewport: true,
  // Research software: said in the panel, in every case.
  investigationalUseDialog: { option: 'never' },
  maxNumberOfWebWorkers: 3,
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  defaultDataSourceName: 'dicomweb',
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'studies of this server',
        name: 'dicomweb',
        qidoRoot: '/dicom-web',
        wadoRoot: '/dicom-web',
        qidoSupportsIncludeField: false,
        imageRendering: 'wadors',
        thumbnailRendering: 'wadors',
        enableStudyLazyLoad: true,
        supportsFuzzyMatching: false,
        supportsWildcard: true,
        singlepart: 'bulkdata,pdf,video',
        bulkDataURI: { enabled: true, relativeResolution: 'studies' },
      },
    },
  ],
};
