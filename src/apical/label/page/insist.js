// Dialogs that must be answered.

/** Open a dialog that stays, whatever closes dialogs on this device; returns what closes it. */
export function insist(dialog) {
  dialog.oncancel = (event) => event.preventDefault();
  dialog.onkeydown = (event) => {
    if (event.key === "Escape") event.preventDefault();
  };
  dialog.onclose = () => dialog.open || dialog.showModal();
  dialog.showModal();
  return () => {
    dialog.oncancel = dialog.onkeydown = dialog.onclose = null;
    dialog.close();
  };
}
