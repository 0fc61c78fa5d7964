// A small moving picture that takes care of itself: it loads and plays while it can be seen.

import { sprite } from "./api.js";
import { STILL, corner, onTick } from "./clock.js";
import { make } from "./elements.js";

/**
 * A small cine of a clip as an element; `side` in CSS pixels (left out: as wide as its place).
 *
 * It plays while it is in sight; where little motion is asked for, only while pointed at or focused.
 */
export function thumb(clip, signal, side) {
  const canvas = make("canvas", { width: 1, height: 1, "aria-hidden": "true" });
  const element = make("span", { class: "thumb", "data-clip": clip }, canvas);
  if (side) element.style.width = element.style.height = `${side}px`;
  let loading = null;
  let picture = null;
  let inSight = false;
  let wanted = false;
  let end = null;
  let time = 0;
  const draw = (index) => {
    const { bitmap, side: size } = picture;
    if (canvas.width !== size) canvas.width = canvas.height = size;
    const [x, y] = corner(picture, index);
    canvas.getContext("2d").drawImage(bitmap, x, y, size, size, 0, 0, size, size);
  };
  const turn = () => {
    const moves = picture?.frames > 1 && inSight && (wanted || !STILL.matches);
    if (moves && !end) {
      let shown = -1;
      end = onTick((passed) => {
        time += passed;
        const index = Math.floor(time / picture.ms) % picture.frames;
        if (index !== shown) draw((shown = index));
      });
    } else if (!moves && end) {
      end();
      end = null;
    }
  };
  const load = () => {
    loading ??= sprite(clip, "small", signal).then(
      (found) => {
        if (signal?.aborted) return found.bitmap.close();
        picture = found;
        draw(0);
        element.dataset.state = "ready";
        turn();
      },
      () => {
        if (!signal?.aborted) element.dataset.state = "failed";
      },
    );
  };
  const observer = new IntersectionObserver(
    (entries) => {
      inSight = entries.at(-1).isIntersecting;
      if (inSight) load();
      turn();
    },
    { rootMargin: "100px" },
  );
  observer.observe(element);
  const want = (yes) => () => {
    wanted = yes;
    turn();
  };
  // What holds the thumbnail, a button perhaps, is what gets the focus.
  queueMicrotask(() => {
    const holder = element.closest("button, label, a, li, [tabindex]") ?? element;
    holder.addEventListener("pointerenter", want(true), { signal });
    holder.addEventListener("pointerleave", want(false), { signal });
    holder.addEventListener("focusin", want(true), { signal });
    holder.addEventListener("focusout", want(false), { signal });
  });
  signal?.addEventListener("abort", () => {
    observer.disconnect();
    end?.();
    picture?.bitmap.close();
    picture = null;
  });
  return element;
}
