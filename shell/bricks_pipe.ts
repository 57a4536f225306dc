#!/usr/bin/env node
// bricks-pipe: runs the native program of that name, which reads pipes, with the same arguments.
import { nativeFiles } from '../native/build.ts';
import { runNativeProgram } from './native_program.ts';

runNativeProgram(nativeFiles.pipeProgram, 'bricks-pipe');
