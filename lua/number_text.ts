// Numbers as text, as C's printf writes them: for tostring(), print() and string.format().
// lua/lua_api.ts puts numberText() into fengari, lua/string_format.ts uses formatNumber().

/** Up to here every whole number is exact in a double. */
const exactMax = 2 ** 53;

/** What stands between % and the letter of a directive. */
export interface FormatSpec {
  /** Any of `-+ #0`. */
  readonly flags: string;
  readonly width: number;
  /** Undefined: the directive's default. */
  readonly precision: number | undefined;
}

function unusual(n: number): string | undefined {
  if (Number.isNaN(n)) return 'nan';
  if (Number.isFinite(n)) return undefined;
  return n > 0 ? 'inf' : '-inf';
}

/** %e with at least two digits of exponent, as C has it. */
function exponential(n: number, precision: number): string {
  return n.toExponential(Math.min(precision, 100)).replace(/e([+-])(\d)$/, 'e$10$2');
}

/** %g: the shorter of %e and %f, without trailing zeros. */
function general(n: number, precision: number): string {
  const digits = Math.min(Math.max(precision, 1), 100);
  const scientific = exponential(n, digits - 1);
  const exponent = Number(scientific.slice(scientific.indexOf('e') + 1));
  if (exponent < -4 || exponent >= digits) return scientific.replace(/\.?0*e/, 'e');
  const fixed = n.toPrecision(digits);
  return fixed.includes('.') ? fixed.replace(/\.?0+$/, '') : fixed;
}

function fixed(n: number, precision: number): string {
  // toFixed() goes over to exponents there.
  if (Math.abs(n) < 1e21) return n.toFixed(Math.min(precision, 100));
  return BigInt(n).toString() + (precision > 0 ? `.${'0'.repeat(precision)}` : '');
}

/** A number as tostring() shows it: whole numbers exactly up to 2^53, everything else as `%.14g`. */
export function numberText(n: number): string {
  if (Number.isInteger(n) && Math.abs(n) <= exactMax) return Object.is(n, -0) ? '-0' : String(n);
  return unusual(n) ?? general(n, 14);
}

function unsigned(n: number, radix: number): string {
  return BigInt.asUintN(64, BigInt(Math.trunc(n))).toString(radix);
}

/** The digits, with a minus sign where there is one. */
function digits(letter: string, n: number, precision: number | undefined): string {
  switch (letter) {
    case 'd':
    case 'i':
      return BigInt(Math.trunc(n)).toString();
    case 'u':
      return unsigned(n, 10);
    case 'o':
      return unsigned(n, 8);
    case 'x':
    case 'X':
      return unsigned(n, 16);
    case 'e':
    case 'E':
      return exponential(n, precision ?? 6);
    case 'f':
      return fixed(n, precision ?? 6);
    default:
      return general(n, precision ?? 6);
  }
}

/**
 * A number as C's printf shows it. `letter` is one of `diuoxXeEfgG`.
 * Undefined for a number that a whole-number directive cannot show (nan, inf).
 * As in Lua 5.1, %d cuts the fraction off.
 */
export function formatNumber(letter: string, spec: FormatSpec, n: number): string | undefined {
  const isWhole = 'diuoxX'.includes(letter);
  const special = unusual(n);
  if (special !== undefined && isWhole) return undefined;
  let text = special ?? digits(letter, n, spec.precision);
  let sign = '';
  if (text.startsWith('-')) {
    sign = '-';
    text = text.slice(1);
  } else if (!'uoxX'.includes(letter)) {
    if (spec.flags.includes('+')) sign = '+';
    else if (spec.flags.includes(' ')) sign = ' ';
  }
  if (spec.flags.includes('#') && 'xX'.includes(letter) && n !== 0) sign = '0x';
  if (isWhole && spec.precision !== undefined) text = text.padStart(spec.precision, '0');
  const missing = spec.width - sign.length - text.length;
  if (missing > 0) {
    const fillsZeros = spec.flags.includes('0') && special === undefined && !(isWhole && spec.precision !== undefined);
    if (spec.flags.includes('-')) text += ' '.repeat(missing);
    else if (fillsZeros) text = '0'.repeat(missing) + text;
    else sign = ' '.repeat(missing) + sign;
  }
  const whole = sign + text;
  return 'XEG'.includes(letter) ? whole.toUpperCase() : whole;
}
