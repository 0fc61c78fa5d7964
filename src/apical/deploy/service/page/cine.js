// The moving picture. Where the browser can decode it frame by frame, it can be stopped at a frame, too.

import { make } from "./elements.js";

export const canStop = "ImageDecoder" in window; // only over https or on this machine

const STILL = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * Show a cine in `place` until `signal` ends it; `numbers` are those of its frames in the clip.
 *
 * Returns what stops it: `stop(number)`.
 */
export async function fillCine(place, blob, numbers, signal) {
  signal.throwIfAborted();
  const address = URL.createObjectURL(blob);
  signal.addEventListener("abort", () => URL.revokeObjectURL(address), { once: true });
  const alt = `The ultrasound sector, ${numbers.length > 1 ? `${numbers.length} frames in motion` : "one frame"}`;
  const image = make("img", { src: address, alt });
  place.append(image);
  if (!canStop) return { stop: async () => {} };
  const decoder = new ImageDecoder({ data: await blob.arrayBuffer(), type: blob.type });
  signal.addEventListener("abort", () => decoder.close(), { once: true });
  await decoder.tracks.ready;
  if (decoder.tracks.selectedTrack.frameCount < 2) return { stop: async () => {} };
  const canvas = make("canvas", { hidden: true, role: "img" });
  const which = make("span", { class: "which", hidden: true });
  const button = make("button", { type: "button", class: "pause" }, "Pause");
  const turn = (moving) => {
    image.hidden = !moving;
    canvas.hidden = which.hidden = moving;
    button.textContent = moving ? "Pause" : "Play";
  };
  const stop = async (number) => {
    const { image: frame } = await decoder.decode({ frameIndex: placeOf(number, numbers, decoder) });
    [canvas.width, canvas.height] = [frame.displayWidth, frame.displayHeight];
    canvas.getContext("2d").drawImage(frame, 0, 0);
    frame.close();
    which.textContent = `Frame ${number}`;
    canvas.setAttribute("aria-label", `Frame ${number} of the clip`);
    turn(false);
  };
  button.onclick = () => (canvas.hidden ? stop(numbers[0]) : turn(true));
  place.append(canvas, which, button);
  if (STILL.matches) await stop(numbers[0]);
  return { stop };
}

/** Which frame of the cine shows a frame of the clip; of very long clips the cine has only some. */
function placeOf(number, numbers, decoder) {
  const last = decoder.tracks.selectedTrack.frameCount - 1;
  const place = Math.max(numbers.findLastIndex((one) => one <= number), 0);
  return numbers.length - 1 <= last ? place : Math.round((place * last) / (numbers.length - 1));
}
