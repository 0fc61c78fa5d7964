// The ways that lead to "more like this".

const HOLD = 550; // milliseconds of a long press
const SLACK = 10; // pixels that a finger may move meanwhile

/** The clip whose like the address asks for, or null. */
export function alikeAsked() {
  const [, clip] = /^#wall\/alike\/(.+)$/.exec(location.hash) ?? [];
  return clip ? decodeURIComponent(clip) : null;
}

/** Open the clips like this one, in the Wall tab; the browser's way back leads to where it was asked. */
export function openAlike(clip) {
  location.hash = `#wall/alike/${encodeURIComponent(clip)}`;
}

/** Right click, long press and the context-menu key on `element` open what is like its clip. */
export function offersAlike(element, clip) {
  let timer = null;
  let from = null;
  let held = false;
  const stop = () => clearTimeout(timer);
  element.addEventListener("contextmenu", (event) => (event.preventDefault(), openAlike(clip)));
  element.addEventListener("pointerdown", (event) => {
    held = false;
    if (event.pointerType === "mouse") return;
    from = [event.clientX, event.clientY];
    timer = setTimeout(() => ((held = true), openAlike(clip)), HOLD);
  });
  element.addEventListener("pointermove", (event) => {
    if (from && Math.hypot(event.clientX - from[0], event.clientY - from[1]) > SLACK) stop();
  });
  for (const end of ["pointerup", "pointercancel", "pointerleave"]) element.addEventListener(end, stop);
  element.addEventListener(
    "click",
    (event) => held && (event.preventDefault(), event.stopImmediatePropagation()),
    true,
  );
}
