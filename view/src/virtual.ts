// TanStack Virtual in Preact: only the rows that can be seen are in the page.
import { elementScroll, measureElement, observeElementOffset, observeElementRect, Virtualizer, type VirtualizerOptions } from "@tanstack/virtual-core";
import { useLayoutEffect, useReducer, useState } from "preact/hooks";

/** An element that scrolls, once it is there. */
export interface Pane { readonly current: HTMLElement | null }

interface Options {
  count: number;
  scroller: Pane;
  size: (index: number) => number;
  overscan?: number;
  keyOf?: (index: number) => string | number;
}

export type Rows = Virtualizer<HTMLElement, HTMLElement>;

export function useVirtual({ count, scroller, size, overscan = 8, keyOf }: Options): Rows {
  const [, drawn] = useReducer((n: number) => n + 1, 0);
  const options: VirtualizerOptions<HTMLElement, HTMLElement> = {
    count,
    getScrollElement: () => scroller.current,
    estimateSize: size,
    overscan,
    ...(keyOf && { getItemKey: keyOf }),
    observeElementRect,
    observeElementOffset,
    scrollToFn: elementScroll,
    measureElement,
    onChange: () => drawn(0),
  };
  const [virtual] = useState<Rows>(() => new Virtualizer(options));
  virtual.setOptions(options);
  useLayoutEffect(() => virtual._didMount(), []);
  useLayoutEffect(() => virtual._willUpdate());
  return virtual;
}
