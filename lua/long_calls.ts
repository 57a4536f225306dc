// Library functions that take long in a single call, in which no hook fires: patterns that go back and forth, tables that
// claim to be endless. lua/lua_api.ts puts the changes into fengari's source.
import { blockingSeconds } from './limits.ts';

type Change = readonly [line: string, changed: string];

/** Steps of the matcher between two looks at the clock: about half a millisecond. */
const stepsPerLook = 2 ** 14;

/**
 * Counts steps wherever the matcher goes through a text. `checks` gets when the call began, 0 before its first look, and
 * returns that, or raises.
 */
export const patternChanges: readonly Change[] = [
  [
    'class MatchState {',
    `let steps = 0;
const step = function(ms, n) {
    steps += n;
    if (steps >= ${stepsPerLook}) {
        steps = 0;
        ms.began = checks(ms.L, ms.began);
    }
    return true;
};

class MatchState {`,
  ],
  ['this.matchdepth = NaN;', 'this.began = 0; this.matchdepth = NaN;'],
  ['    gm.ms.L = L;', '    gm.ms.L = L; gm.ms.began = 0;'],
  ['    if (ms.matchdepth-- === 0)', '    step(ms, 1);\n    if (ms.matchdepth-- === 0)'],
  ['    while (singlematch(ms, s + i, p, ep))', '    while (singlematch(ms, s + i, p, ep) && step(ms, 1))'],
  ['        while (++s < ms.src_end) {', '        while (++s < ms.src_end && step(ms, 1)) {'],
  ['    let len = ms.capture[l].len;', '    let len = ms.capture[l].len; step(ms, Math.max(1, len));'],
  // A replacement without "%" is added as a whole: byte by byte 64 MiB take seconds.
  [
    '    let news = lua_tostring(L, 3);',
    `    let news = lua_tostring(L, 3);
    if (news.indexOf(L_ESC) < 0) {
        step(ms, news.length >> 6);
        luaL_addlstring(b, news, news.length);
        return;
    }`,
  ],
  [
    '    for (let i = 0; i < l; i++) {\n        if (news',
    '    for (let i = 0; i < l && step(ms, 1); i++) {\n        if (news',
  ],
  ['function(arr, subarr, from_index) {', 'function(ms, arr, subarr, from_index) {'],
  [
    '        if (luastring_eq(arr.subarray(i, i+sl), subarr))',
    '        if (step(ms, sl) && luastring_eq(arr.subarray(i, i+sl), subarr))',
  ],
  ['find_subarray(s.subarray(init - 1), p, 0)', 'find_subarray(new MatchState(L), s.subarray(init - 1), p, 0)'],
];

/** What is said of a pattern that takes too long, in a call of the function with that name. */
export function patternProblem(name: string): string {
  const isKnown = ['find', 'match', 'gmatch', 'gsub'].includes(name);
  const subject = isKnown ? `string.${name}: the pattern` : 'a pattern';
  return `${subject} has been at work for ${blockingSeconds} s; that blocks everything else`;
}

/** `checks` gets how many elements a call is to go through, and raises where they are too many. */
export const tableChanges: readonly Change[] = [
  ['    return luaL_len(L, n);', '    const length = luaL_len(L, n); checks(L, length); return length;'],
  ['        let n = e - f + 1;', '        let n = e - f + 1; checks(L, n);'],
  ['    last = luaL_optinteger(L, 4, last);', '    last = luaL_optinteger(L, 4, last); checks(L, last - i + 1);'],
];
