import type { Waiter } from './waiting.js';

/** The heap is rebuilt when the departed outnumber the living, and this many more. */
const SLACK = 64;

/** Who waits until when: a binary heap. Who has left the line stays in it until it is met or swept. */
export class Deadlines {
  private heap: Waiter[] = [];
  private departed = 0;

  push(waiter: Waiter): void {
    this.heap.push(waiter);
    this.up(this.heap.length - 1);
  }

  /** A waiter has left the line otherwise. So that cancelled grants do not pile up, they are swept. */
  depart(): void {
    this.departed += 1;
    if (this.departed * 2 <= this.heap.length + SLACK) return;
    const living = this.heap.filter(waiter => !waiter.gone);
    this.heap = [];
    this.departed = 0;
    for (const waiter of living) this.push(waiter);
  }

  /** Who must leave first; of the same deadline, who came first. */
  first(): Waiter | null {
    for (;;) {
      const top = this.heap[0];
      if (top === undefined || !top.gone) return top ?? null;
      this.pop();
      this.departed -= 1;
    }
  }

  private pop(): void {
    const last = this.heap.pop() as Waiter;
    if (this.heap.length === 0) return;
    this.heap[0] = last;
    this.down(0);
  }

  private up(from: number): void {
    let index = from;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.swapIfEarlier(index, parent)) return;
      index = parent;
    }
  }

  private down(from: number): void {
    let index = from;
    for (;;) {
      const [left, right] = [2 * index + 1, 2 * index + 2];
      const child = right < this.heap.length && this.earlier(right, left) ? right : left;
      if (child >= this.heap.length || !this.swapIfEarlier(child, index)) return;
      index = child;
    }
  }

  private swapIfEarlier(child: number, parent: number): boolean {
    if (!this.earlier(child, parent)) return false;
    const waiter = this.heap[child] as Waiter;
    this.heap[child] = this.heap[parent] as Waiter;
    this.heap[parent] = waiter;
    return true;
  }

  private earlier(a: number, b: number): boolean {
    const [x, y] = [this.heap[a] as Waiter, this.heap[b] as Waiter];
    return x.deadline === y.deadline ? x.sequence < y.sequence : x.deadline < y.deadline;
  }
}
