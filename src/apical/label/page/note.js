// The note that goes with an answer.

import { keySign } from "./buttons.js";
import { make } from "./elements.js";

/** A button that opens a field for a note; `leave()` is called when it is left. */
export class Note {
  constructor(leave) {
    this.leave = leave;
    const hint = "Enter or Escape leaves";
    const field = { id: "note", type: "text", maxlength: 500, "aria-label": "Note", placeholder: hint };
    this.field = make("input", field);
    this.field.hidden = true;
    const onclick = () => (this.field.hidden ? this.open() : this.close());
    const state = { "aria-controls": "note", "aria-expanded": "false" };
    const button = { type: "button", id: "note-button", ...state, onclick };
    this.button = make("button", button, "Note", keySign("n"));
    this.field.onkeydown = (event) => {
      if (event.isComposing || !["Escape", "Enter"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      this.close();
    };
  }

  get text() {
    return this.field.value.trim();
  }

  set text(words) {
    this.field.value = words;
    this.turn(words !== "");
  }

  open() {
    this.turn(true);
    this.field.focus();
  }

  close() {
    this.turn(this.text !== "");
    this.leave();
  }

  turn(open) {
    this.field.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
  }
}
