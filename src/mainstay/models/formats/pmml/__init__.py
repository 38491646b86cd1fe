"""PMML 4: read into a graph and columns, and written from a package. https://dmg.org/pmml/v4-4-1/GeneralStructure.html"""
