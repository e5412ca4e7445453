// Every interface and member of the browser, and of the language, that the client and the pages use: found by the compiler.
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../', import.meta.url));

/**
 * @typedef {object} Use
 * @property {'api' | 'javascript'} of the browser, or of the language
 * @property {string[]} names of the interface: where the member is declared, and what it is used on
 * @property {string} member '' for the interface itself
 * @property {string} where file:line of the first use
 */

/** @returns {Map<string, Use>} by "Interface.member" */
export function used() {
  const {config} = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const {fileNames, options} = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const program = ts.createProgram(fileNames, options);
  const checker = program.getTypeChecker();
  /** @type {Map<string, Use>} */ const uses = new Map();

  /** Where the library of the compiler declares it. @param {ts.Symbol | undefined} symbol */
  const library = (symbol) => {
    for (const declaration of symbol?.declarations ?? []) {
      const found = /\/lib\.(dom|es)[^/]*\.d\.ts$/.exec(declaration.getSourceFile().fileName);
      if (found) return {declaration, of: /** @type {const} */ (found[1] === 'dom' ? 'api' : 'javascript')};
    }
    return null;
  };
  /** All names of what an expression can be: of unions, of what it extends. @param {ts.Type} type @returns {string[]} */
  const namesOf = (type) => {
    if (type.isUnionOrIntersection()) return type.types.flatMap(namesOf);
    const name = type.symbol?.name ?? '';
    const bases = type.isClassOrInterface() || type.symbol?.flags & ts.SymbolFlags.Interface ? checker.getBaseTypes(/** @type {ts.InterfaceType} */ (checker.getDeclaredTypeOfSymbol(type.symbol))) ?? [] : [];
    return [name, ...bases.flatMap(namesOf)].filter(Boolean);
  };
  /** @param {ts.Node} node @param {'api' | 'javascript'} of @param {string[]} names @param {string} member */
  const note = (node, of, names, member) => {
    const key = `${names[0]}${member && `.${member}`}`;
    if (uses.has(key)) {
      uses.get(key)?.names.push(...names);
      return;
    }
    const file = node.getSourceFile();
    uses.set(key, {of, names, member, where: `${file.fileName.slice(dirname(root).length + 1)}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`});
  };
  /** @param {ts.Node} node the name @param {ts.Symbol | undefined} symbol @param {ts.Type} [on] */
  const member = (node, symbol, on) => {
    const found = library(symbol);
    if (!found || !symbol) return;
    const {declaration, of} = found;
    if (ts.isInterfaceDeclaration(declaration.parent)) note(node, of, [declaration.parent.name.text, ...(on ? namesOf(on) : [])], symbol.name);
    else if (ts.isTypeLiteralNode(declaration.parent) && ts.isVariableDeclaration(declaration.parent.parent)) note(node, of, [declaration.parent.parent.name.getText()], symbol.name); // a static one
    else if (ts.isVariableDeclaration(declaration) || ts.isFunctionDeclaration(declaration)) note(node, of, [symbol.name], '');
  };
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isPropertyAccessExpression(node)) member(node.name, checker.getSymbolAtLocation(node.name), checker.getTypeAtLocation(node.expression));
    else if (ts.isBindingElement(node) && ts.isObjectBindingPattern(node.parent)) {
      const on = checker.getTypeAtLocation(node.parent);
      const name = (node.propertyName ?? node.name).getText();
      member(node, checker.getPropertyOfType(on, name), on);
    } else if (ts.isIdentifier(node) && !ts.isPropertyAccessExpression(node.parent) && !ts.isPropertyAssignment(node.parent)) member(node, checker.getSymbolAtLocation(node));
    else if (ts.isIdentifier(node) && ts.isPropertyAccessExpression(node.parent) && node.parent.expression === node) member(node, checker.getSymbolAtLocation(node));
    // What is listened to is an event of the interface.
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(node.expression) && node.expression.name.text === 'addEventListener' && ts.isStringLiteral(node.arguments[0])) {
      const names = namesOf(checker.getTypeAtLocation(node.expression.expression));
      if (names.length && library(checker.getTypeAtLocation(node.expression.expression).symbol)) note(node, 'api', names, `on${node.arguments[0].text}`);
    }
    ts.forEachChild(node, visit);
  };
  for (const file of program.getSourceFiles()) if (!file.isDeclarationFile && !file.fileName.includes('/vendor/')) visit(file);
  return uses;
}
