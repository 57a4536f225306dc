#!/usr/bin/env node
// bricks-run: runs the native program of that name, which becomes another one that captures from pipes.
import { nativeFiles } from '../native/build.ts';
import { runNativeProgram } from './native_program.ts';

runNativeProgram(nativeFiles.runProgram, 'bricks-run');
