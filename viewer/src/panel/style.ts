/** How the panel looks: dark as OHIF is, readable on 1366 × 768 and on 4K. */
export const style = `
.petlesion { color: #e6edf5; font-size: 13px; line-height: 1.35; padding: 6px 8px 16px; height: 100%; overflow-y: auto; box-sizing: border-box; }
@media (min-width: 2600px) { .petlesion { font-size: 18px; } }
.petlesion section { border-top: 1px solid #2c4466; padding: 6px 0; }
.petlesion h3 { font-weight: 600; margin: 0 0 4px; color: #8fc1ff; }
.petlesion p { margin: 3px 0; }
.petlesion button { background: #1d3557; color: inherit; border: 1px solid #4a6a94; border-radius: 4px; padding: 3px 8px; cursor: pointer; }
.petlesion button:hover:enabled { background: #2b4c7a; }
.petlesion button:disabled { opacity: 0.45; cursor: default; }
.petlesion button.main, .petlesion button[aria-pressed="true"] { background: #0072b2; border-color: #9ad1f5; color: #fff; }
.petlesion :focus-visible { outline: 2px solid #f0e442; outline-offset: 1px; }
.petlesion select, .petlesion input:not([type]), .petlesion input[type="number"] { background: #0b1726; color: inherit; border: 1px solid #4a6a94; border-radius: 4px; padding: 3px 5px; min-width: 0; }
.petlesion .line { display: flex; gap: 4px; margin: 4px 0; }
.petlesion .line > select, .petlesion .wide { flex: 1; width: 50%; }
.petlesion .wrap, .petlesion .tools { display: flex; flex-wrap: wrap; gap: 4px; }
.petlesion .option { display: flex; justify-content: space-between; align-items: center; gap: 6px; margin: 3px 0; }
.petlesion .option select, .petlesion .option input[type="number"] { width: 48%; }
.petlesion .quiet { color: #a9bad0; }
.petlesion details summary { cursor: pointer; color: #a9bad0; }
/* In view of whoever presses Submit at the bottom, over the panel's padding, and so low that the list stays in view. */
.petlesion .messages { position: sticky; top: -6px; z-index: 1; background: #000; margin: 0 -8px; padding: 0 8px; max-height: 8em; overflow-y: auto; }
.petlesion { scroll-padding-top: 8em; }
.petlesion .problem, .petlesion .warning { background: #5a2a00; border: 1px solid #e69f00; border-radius: 4px; padding: 6px; margin-bottom: 4px; }
.petlesion .problem span { display: flex; gap: 4px; margin: 4px 0; }
.petlesion .note { min-height: 1.4em; color: #cfe3fa; overflow-wrap: anywhere; max-height: 6em; overflow-y: auto; }
.petlesion .note ul { margin: 0; padding: 0; list-style: none; }
.petlesion .note li:not(:only-child) { list-style: disc; margin-left: 1.2em; }
.petlesion .busy::before { content: "◌ "; }
.petlesion .mark, .petlesion .unknown { color: #e69f00; font-weight: 400; }
.petlesion .totals { font-weight: 600; }
.petlesion .scroll { max-height: 38vh; min-height: 60px; overflow-y: auto; }
.petlesion table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.petlesion th { position: sticky; top: 0; background: #0b1726; text-align: right; vertical-align: bottom; }
.petlesion th button { background: none; border: none; padding: 2px; color: #8fc1ff; text-align: right; }
.petlesion td { text-align: right; padding: 2px 4px; border-top: 1px solid #1b2c44; cursor: pointer; }
/* The colour of a lesion stays beside its number. */
.petlesion td:nth-child(2) { white-space: nowrap; }
.petlesion tr.active { scroll-margin-top: 4em; }
.petlesion tr.active td { background: #1d4e79; }
.petlesion .colour { display: inline-block; width: 0.75em; height: 0.75em; margin-right: 4px; border-radius: 2px; }
.petlesion dl div { display: flex; gap: 8px; }
.petlesion dt { min-width: 8.5em; color: #e6edf5; }
.petlesion dd { margin: 0; }
`;
