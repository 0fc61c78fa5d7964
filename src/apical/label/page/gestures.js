// Wheel, pinch, drag and double click on the large cine.

const STILL_PRESS = 6; // CSS pixels that a pointer may move and still have only clicked

/** Gestures on a player's screen; who cannot drag clicks on a point to bring it to the middle. */
export class Gestures {
  constructor(player) {
    this.player = player;
    this.down = new Map(); // pointer → [x, y]
    this.travelled = 0;
    const { screen } = player;
    screen.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    screen.addEventListener("pointerdown", (event) => this.press(event));
    screen.addEventListener("pointermove", (event) => this.move(event));
    for (const name of ["pointerup", "pointercancel"]) {
      screen.addEventListener(name, (event) => this.release(event));
    }
    screen.addEventListener("dblclick", () => (player.zoom = 1));
  }

  wheel(event) {
    const { player } = this;
    const zoom = player.zoom * 1.0015 ** -event.deltaY;
    if (player.zoom === 1 && zoom < 1) return; // let the page scroll
    event.preventDefault();
    player.zoomAt(zoom, ...this.fromMiddle(event));
  }

  press(event) {
    if (event.button !== 0) return;
    if (this.down.size === 0) this.travelled = 0;
    this.down.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.player.zoom > 1 || this.down.size > 1) this.player.screen.setPointerCapture(event.pointerId);
  }

  move(event) {
    const before = this.down.get(event.pointerId);
    if (!before) return;
    const [x, y] = [event.clientX - before[0], event.clientY - before[1]];
    this.travelled += Math.hypot(x, y);
    const other = [...this.down].find(([pointer]) => pointer !== event.pointerId)?.[1];
    this.down.set(event.pointerId, [event.clientX, event.clientY]);
    if (other) this.pinch(before, [event.clientX, event.clientY], other);
    else if (this.player.zoom > 1) this.player.pan(x, y);
  }

  pinch(before, now, other) {
    const apart = (one) => Math.max(Math.hypot(one[0] - other[0], one[1] - other[1]), 1);
    const middle = { clientX: (now[0] + other[0]) / 2, clientY: (now[1] + other[1]) / 2 };
    this.player.zoomAt((this.player.zoom * apart(now)) / apart(before), ...this.fromMiddle(middle));
    this.player.pan((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  }

  release(event) {
    if (!this.down.delete(event.pointerId) || this.down.size > 0) return;
    const { player } = this;
    if (event.type !== "pointerup" || player.zoom === 1 || this.travelled > STILL_PRESS) return;
    const [x, y] = this.fromMiddle(event);
    player.pan(-x, -y);
  }

  fromMiddle({ clientX, clientY }) {
    const { left, top, width, height } = this.player.screen.getBoundingClientRect();
    return [clientX - left - width / 2, clientY - top - height / 2];
  }
}
