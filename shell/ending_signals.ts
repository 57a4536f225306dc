// Signals that ask a program to end. timeout(1) sends each twice, to the program and to its group, and a program that
// runs another passes it on once more: what comes soon after the first is the same request.

const sameRequestMs = 500;

/** Calls `end` at the first of these signals, and at every one that comes later than those of the same request. */
export function onEndingSignals(
  names: readonly NodeJS.Signals[],
  end: (name: NodeJS.Signals, isFirst: boolean) => void,
): void {
  let firstMs: number | undefined;
  const handle = (name: NodeJS.Signals): void => {
    const isFirst = firstMs === undefined;
    firstMs ??= performance.now();
    if (isFirst || performance.now() - firstMs > sameRequestMs) end(name, isFirst);
  };
  for (const name of names) process.on(name, handle);
}
