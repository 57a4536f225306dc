// How long the texts of an outcome may be, and how longer ones are cut. Used wherever a chunk's end becomes text.
//
// A client of the daemon gets an outcome as one message, which has a limit: whatever a chunk returns or raises fits.
import { toText } from './convert.ts';

/** Of one outcome: all its texts together, in bytes of UTF-8. The parts below stay within it. */
export const outcomeBytesMax = 900 * 1024;

/** Of what a chunk returns. */
export const valuesBytesMax = 512 * 1024;

/** Of an error's message, and of its traceback. */
export const messageBytesMax = 8 * 1024;
export const tracebackBytesMax = 16 * 1024;

/** What a cut text says of itself takes less. */
const noteBytes = 48;

/** The text, or its beginning and how much was cut: at most `bytesMax` bytes of UTF-8. */
export function cutText(given: string | Uint8Array, bytesMax: number): string {
  const bytes = typeof given === 'string' ? Buffer.from(given) : given;
  if (bytes.length <= bytesMax) {
    const text = typeof given === 'string' ? given : toText(given);
    // Each byte that is not UTF-8 has become three.
    if (Buffer.byteLength(text) <= bytesMax) return text;
  }
  const room = bytesMax - noteBytes;
  let kept = Math.min(room, bytes.length);
  while (kept > 0 && ((bytes[kept] ?? 0) & 0xc0) === 0x80) kept--;
  let text = toText(bytes.subarray(0, kept));
  while (Buffer.byteLength(text) > room) {
    kept = Math.floor(kept / 2);
    text = toText(bytes.subarray(0, kept));
  }
  return `${text}... (cut: ${bytes.length - kept} more bytes)`;
}
