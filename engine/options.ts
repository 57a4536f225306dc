// Options as a table: one way to declare, check and document those of bricks and ports.
import { BricksError, shownValue } from './errors.ts';

/** What a user may give as an option's value. */
export type OptionValue = string | number | boolean | readonly number[];

/** One option. Numbers have bounds, also those of a list; strings may have a list of allowed values. */
export interface OptionSchema {
  readonly type: 'integer' | 'number' | 'string' | 'boolean' | 'list';
  /** Missing where something else decides, as the text says. */
  readonly default?: OptionValue;
  readonly min?: number;
  readonly max?: number;
  readonly values?: readonly OptionValue[];
  /** Of the value, where it has one: "bytes", "ms". */
  readonly unit?: string;
  /** One line for users. */
  readonly text: string;
}

/** Options by name. */
export type OptionSchemas = Readonly<Record<string, OptionSchema>>;

/** Checked options: every one that has a default has a value. */
export type Options = Readonly<Record<string, OptionValue>>;

/** What an option's value may be, in words. */
export function allowedText(schema: OptionSchema): string {
  if (schema.values !== undefined) return schema.values.map((value) => JSON.stringify(value)).join(' or ');
  if (schema.type === 'boolean') return '0 or 1';
  if (schema.type === 'string') return 'a string';
  const kinds = { integer: 'a whole number', number: 'a number', list: 'a list of numbers' };
  const kind = kinds[schema.type];
  return schema.min === undefined ? kind : `${kind} from ${schema.min} to ${schema.max}`;
}

function isWithin({ min = -Infinity, max = Infinity }: OptionSchema, value: number): boolean {
  return Number.isFinite(value) && value >= min && value <= max;
}

/** Numbers of a list, which is an array, or a text with commas. */
function convertList(schema: OptionSchema, given: OptionValue): readonly number[] | undefined {
  const items: readonly unknown[] = typeof given === 'string' ? given.split(',') : Array.isArray(given) ? given : [];
  const numbers = items.map((item) => (typeof item === 'string' && item.trim() !== '' ? Number(item) : item));
  const fits = (item: unknown): item is number => typeof item === 'number' && isWithin(schema, item);
  return numbers.length > 0 && numbers.every(fits) ? numbers : undefined;
}

/** The value of `given` in the schema's type, or undefined where it does not fit. */
function convert(schema: OptionSchema, given: OptionValue): OptionValue | undefined {
  if (schema.type === 'list') return convertList(schema, given);
  let value: OptionValue = given;
  if (schema.type === 'boolean') {
    if (value === 1 || value === '1' || value === 'true') value = true;
    if (value === 0 || value === '0' || value === 'false') value = false;
    if (typeof value !== 'boolean') return undefined;
  } else if (schema.type === 'string') {
    if (typeof value !== 'string') return undefined;
  } else {
    if (typeof value === 'string' && value.trim() !== '') value = Number(value);
    if (typeof value !== 'number' || !isWithin(schema, value)) return undefined;
    if (schema.type === 'integer' && !Number.isInteger(value)) return undefined;
  }
  return schema.values === undefined || schema.values.includes(value) ? value : undefined;
}

/**
 * Checks `given` against `schemas` and fills in the defaults.
 *
 * `what` names the owner in errors: `brick "LoadBalancer"`. Throws OPTION_UNKNOWN or OPTION_INVALID.
 */
export function checkOptions(
  what: string,
  schemas: OptionSchemas,
  given: Readonly<Record<string, OptionValue>>,
): Options {
  for (const option of Object.keys(given)) {
    if (!Object.hasOwn(schemas, option)) {
      throw BricksError.of('OPTION_UNKNOWN', { what, option, have: Object.keys(schemas).join(', ') || 'none' });
    }
  }
  const checked: Record<string, OptionValue> = {};
  for (const [option, schema] of Object.entries(schemas)) {
    const value = given[option];
    if (value === undefined && schema.default === undefined) continue;
    const converted = value === undefined ? schema.default : convert(schema, value);
    if (converted === undefined) {
      const allowed = allowedText(schema);
      throw BricksError.of('OPTION_INVALID', { what, option, value: shownValue(value), allowed });
    }
    checked[option] = converted;
  }
  return checked;
}
