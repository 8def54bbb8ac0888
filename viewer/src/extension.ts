/** The extension: the hanging protocol. */
import { PROTOCOL, protocol } from './protocol';

export default {
  id: 'petlesion.extension',
  getHangingProtocolModule: () => [{ name: PROTOCOL, protocol }],
};
