export * from './types/turnhub.js';
