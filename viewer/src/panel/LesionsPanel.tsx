/** The panel: everything that is done with the lesions of a case. */
import type { Case } from './context';
import { CaseContext } from './context';
import { CaseBar } from './CaseBar';
import { Keys } from './Keys';
import { LesionList } from './LesionList';
import { Messages } from './Messages';
import { Models } from './Models';
import { Status } from './Status';
import { Tools } from './Tools';
import { View } from './View';

export function LesionsPanel({ parts }: { parts: Case }) {
  return (
    <CaseContext.Provider value={parts}>
      <div className="petlesion">
        <Messages />
        <Models />
        <Tools />
        <LesionList />
        <CaseBar />
        <View />
        <Status />
        <Keys />
      </div>
    </CaseContext.Provider>
  );
}
